"""The best recipe for every kind of network, chosen without the test data.

Every kind gets as many trials, drawn from its grid; the best three of them are tried with two more
seeds, which split the training data in other ways, and the best mean is taken. Where a setting of
the winner is at an end of its grid, the next value is tried with the same seeds, until none is
better. Modules are also tried with the best recipe of the whole network. Penalties are searched for
the best recipe without one.

What was tried stays in the file, and is not tried again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.recipe import PENALTIES, Recipe, beyond, inherited, trials
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.parallel import run_all
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

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
#: Equilibria take longest to train.
_NUM_TRIALS_OF_EQUILIBRIUM = 12
_NUM_BEST, _SEEDS = 3, (0, 1, 2)
_SCORES = "validation_scores"
#: The row that a recipe is validated in, where several take it.
_VALIDATED = {"modules": "modules_4_wide", "random": "random_4_wide"}


def search(names: list[str], rows: list[str] | None, data_root: str | None) -> None:
    """Search for these rows, all by default, and write what was tried and what was best.

    Args:
        names (list of str): Keys of :data:`SEARCHED`.
        rows (list of str, optional): Those whose recipes are searched.
        data_root (str, optional): A folder with local copies of data sets.
    """
    results: dict[str, Any] = {}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for name in names:
        group = results.setdefault(SEARCHED[name], {})
        specs = rows_of(PROBLEMS[name])
        for kind in dict.fromkeys(specs[row].kind for row in specs if not rows or row in rows):
            if kind in PENALTIES:
                best = Recipe(**group["yoked"]["best"])
                recipes = [replace(best, penalty=penalty) for penalty in PENALTIES[kind]]
            else:
                is_slow = kind == "equilibrium"
                num_trials = PROBLEMS[name].num_trials
                recipes = trials(kind, _NUM_TRIALS_OF_EQUILIBRIUM if is_slow else num_trials)
                if kind in _VALIDATED:
                    whole = Recipe(**group["free"]["best"])
                    recipes = list(dict.fromkeys([*recipes, *inherited(kind, whole)]))
            group[kind] = _best(name, kind, recipes, _tried(group.get(kind)), data_root)
            write_json(RESULTS, results)


def recipe_for(problem: str, kind: str) -> Recipe:
    """What the search found.

    Raises:
        ValueError: If it was not searched for.
    """
    results: dict[str, Any] = {}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    group = next(group for group in SEARCHED.values() if problem.startswith(group))
    if kind not in results.get(group, {}):
        raise ValueError(
            f"Expected a recipe of {kind!r} for {group} in {RESULTS.name} (got none). Search it:"
            f" --search --rows {_VALIDATED.get(kind, kind)}."
        )
    return Recipe(**results[group][kind]["best"])


def _tried(result: dict[str, Any] | None) -> dict[Recipe, list[float]]:
    """The scores of an earlier search, which are not measured again."""
    if result is None:
        return {}
    return {
        Recipe(**{name: value for name, value in trial.items() if name != _SCORES}): trial[_SCORES]
        for trial in result["trials"]
    }


def _best(
    name: str,
    kind: str,
    recipes: list[Recipe],
    tried: dict[Recipe, list[float]],
    data_root: str | None,
) -> dict[str, Any]:
    scores = {recipe: list(tried.get(recipe, [])) for recipe in dict.fromkeys([*recipes, *tried])}

    def score(jobs: list[tuple[Recipe, int]]) -> None:
        """Scores of these recipes with these seeds, which follow those that are there."""
        missing = [(recipe, seed) for recipe, seed in jobs if len(scores[recipe]) <= seed]
        results = run_all(
            _validate, [(name, kind, recipe, seed, data_root) for recipe, seed in missing]
        )
        for (recipe, _), result in zip(missing, results, strict=True):
            scores[recipe].append(-result["loss"] if PROBLEMS[name].is_small else result["score"])

    first = _SEEDS if PROBLEMS[name].is_small else _SEEDS[:1]
    score([(recipe, seed) for recipe in scores for seed in first])
    best = sorted(scores, key=lambda recipe: -mean(scores[recipe][: len(first)]))[:_NUM_BEST]
    score([(recipe, seed) for recipe in best for seed in _SEEDS])
    complete = [recipe for recipe in scores if len(scores[recipe]) == len(_SEEDS)]
    winner = max(complete, key=lambda recipe: mean(scores[recipe]))
    more = [] if kind in PENALTIES else beyond(kind, winner)
    while more:
        scores |= {recipe: [] for recipe in more if recipe not in scores}
        score([(recipe, seed) for recipe in more for seed in _SEEDS])
        before = winner
        winner = max([winner, *more], key=lambda recipe: mean(scores[recipe]))
        more = [] if winner == before else beyond(kind, winner)
    return {
        "versions": versions(),
        "best": asdict(winner),
        "validation_score": mean(scores[winner]),
        "trials": [{**asdict(recipe), _SCORES: values} for recipe, values in scores.items()],
    }


def _validate(
    name: str, kind: str, recipe: Recipe, seed: int, data_root: str | None
) -> dict[str, Any]:
    problem = PROBLEMS[name]
    data = held_out(problem.load(data_root, None), seed)
    return train(problem, data, rows_of(problem)[_VALIDATED.get(kind, kind)], recipe, seed)
