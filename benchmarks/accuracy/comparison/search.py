"""The best recipe for every kind of network, chosen without the test data.

A search tries as many recipes for every kind of network, nearly all of them the same: those that
any kind was ever given, and draws. All are scored on a part of the training data that is left out;
the best of them again on five other parts, and the best of these five scores decides. So all kinds
have as many trainings. Where ``num_searches`` of a problem is above one, it is all done again with
other draws and other parts, for the kinds that are compared with each other: recipes, too, are
chosen by chance.

What was tried stays in the file, and is not tried again.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.recipe import Recipe, recipes
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.parallel import run_all
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions
from pyg_modules.train import DivergedError

RESULTS = Path(__file__).with_name("search.json")
#: Which problems are searched; the others take the recipes of the one that is named like them.
SEARCHED = {
    "optdigits 45": "optdigits",
    "mnist1d": "mnist1d",
    "mnist10k": "mnist10k",
    "breast cancer": "breast cancer",
    "wine": "wine",
    "diabetes": "diabetes",
}
#: Those of the summary; the others are searched once.
_SEARCHED_AGAIN = ("mlp", "mlp_long", "free", "modules", "post_hoc", "random")
#: How many of the best are tried on how many further parts.
NUM_BEST, NUM_FURTHER = 2, 5
SCORES = _FIRST, _FURTHER = "validation_scores", "further_scores"
_DIVERGED = {"score": 0.0, "loss": 1e9, "seconds": 0.0}
#: The row that a recipe is validated in, where several take it.
VALIDATED = {kind: f"{kind}_4_wide" for kind in ("modules", "post_hoc", "random")}


def search(
    names: list[str],
    rows: list[str] | None,
    data_root: str | None,
    out: Path = RESULTS,
    *,
    quick: bool = False,
) -> None:
    """Search for these rows, all by default, and write what was tried and what was best.

    Args:
        names (list of str): Keys of :data:`SEARCHED`.
        rows (list of str, optional): Those whose recipes are searched.
        data_root (str, optional): A folder with local copies of data sets.
        out (Path, optional): The JSON file.
        quick (bool, optional): Two epochs and few recipes: does it run?
    """
    results = _read(out)
    for name in names:
        specs = rows_of(PROBLEMS[name])
        kinds = dict.fromkeys(specs[row].kind for row in specs if not rows or row in rows)
        searches = results.setdefault(SEARCHED[name], [])
        for number in range(PROBLEMS[name].num_searches):
            if number == len(searches):
                searches.append({})
            for kind in kinds:
                if number and kind not in _SEARCHED_AGAIN:
                    continue
                found = searches[number].setdefault(kind, {"trials": []})
                for _ in _stages(name, kind, number, found, data_root, quick=quick):
                    write_json(out, results)


def recipe_for(problem: str, kind: str, number: int, path: Path = RESULTS) -> Recipe | None:
    """What a search found; None where the kind of network is searched once, and this is another.

    Raises:
        ValueError: If it was not searched for.
    """
    if number and kind not in _SEARCHED_AGAIN:
        return None
    group = next(group for group in SEARCHED.values() if problem.startswith(group))
    searches = _read(path).get(group, [])
    found = searches[number].get(kind, {}) if number < len(searches) else {}
    tried = recipes(group, kind, number, max(1, len(found.get("trials", ()))))
    if found.get("best") not in tried:
        raise ValueError(
            f"Expected a recipe of {kind!r} for {group} in search {number} of {path.name} (got"
            f" none). Search it: --search --rows {VALIDATED.get(kind, kind)}."
        )
    return tried[found["best"]]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _stages(
    name: str, kind: str, number: int, found: dict[str, Any], data_root: str | None, *, quick: bool
) -> Any:
    """Fill ``found``; yields when there is something to write."""
    problem = PROBLEMS[name]
    count = NUM_BEST + 1 if quick else problem.num_trials
    tried = recipes(SEARCHED[name], kind, number, count)
    kept = {trial["recipe"]: trial for trial in found["trials"]}
    trials = [
        kept.get(text, {"recipe": text, _FIRST: [], _FURTHER: [], "seconds": 0.0}) for text in tried
    ]

    def score(some: list[dict[str, Any]], key: str, start: int, num_parts: int) -> None:
        jobs = [(trial, part) for trial in some for part in range(len(trial[key]), num_parts)]
        runs = run_all(
            _validate,
            [
                (name, kind, tried[trial["recipe"]], start + part, data_root, quick)
                for trial, part in jobs
            ],
            quick=quick,
        )
        for (trial, _), run in zip(jobs, runs, strict=True):
            trial[key].append(-run["loss"] if problem.is_small else run["score"])
            trial["seconds"] += run["seconds"]

    first_part = 1000 * (number + 1)
    # Too many recipes have the same score on one small part.
    score(trials, _FIRST, first_part, 3 if problem.is_small else 1)
    found |= {"versions": versions(), "trials": trials}
    yield
    best = sorted(trials, key=lambda trial: -mean(trial[_FIRST]))[:NUM_BEST]
    score(best, _FURTHER, first_part + 100, NUM_FURTHER)
    winner = max(best, key=lambda trial: mean(trial[_FURTHER]))
    found |= {"best": winner["recipe"], "validation_score": mean(winner[_FURTHER])}
    yield


def _validate(
    name: str, kind: str, recipe: Recipe, part: int, data_root: str | None, quick: bool
) -> dict[str, Any]:
    problem: Problem = PROBLEMS[name].shortened() if quick else PROBLEMS[name]
    data = held_out(problem.load(data_root, None), part)
    try:
        return train(problem, data, rows_of(problem)[VALIDATED.get(kind, kind)], recipe, part)
    except DivergedError:
        return _DIVERGED
