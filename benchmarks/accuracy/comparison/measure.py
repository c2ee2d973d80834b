"""The rows of a table, with the recipes that were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.recipe import Recipe
from benchmarks.accuracy.comparison.search import recipe_for
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.parallel import run_all
from pyg_modules.experiment.versions import versions

#: Those of the first search; the next one has those that follow.
FIRST_SEED = 10


def measure(
    problem: Problem,
    rows: Sequence[str],
    data_root: str | None,
    before: dict[str, Any],
    save: Callable[[dict[str, Any]], None],
    *,
    first_seed: int = FIRST_SEED,
    quick: bool,
) -> None:
    """Measure these rows, unless they were measured ``before`` with the same recipe and versions.

    ``save`` is given the table after every row; with ``quick``, two epochs of one seed.
    """
    if before.get("versions") != versions():
        before = {}
    searches = list(before.get("searches", ()))
    specs = rows_of(problem)
    for number in range(1 if quick else problem.num_searches):
        if number == len(searches):
            searches.append({"recipes": {}, "rows": {}})
        recipes, measured = searches[number]["recipes"], searches[number]["rows"]
        num_seeds = 1 if quick else problem.seeds
        first = first_seed + number * num_seeds
        seeds = list(range(first, first + num_seeds))
        for row in rows:
            recipe = recipe_for(problem.name, specs[row].kind, number)
            if recipe is None:
                continue
            text = recipe.text(specs[row].kind)
            is_known = [run["seed"] for run in measured.get(row, ())] == seeds
            if is_known and recipes[row] == text:
                continue
            jobs = [(problem.name, row, recipe, seed, data_root, quick) for seed in seeds]
            measured[row] = run_all(_run, jobs, quick=quick)
            recipes[row] = text
            save(
                {
                    "size": problem.size,
                    "num_hidden": problem.num_hidden,
                    "epochs": problem.epochs,
                    "batch_size": problem.batch_size,
                    "versions": versions(),
                    "searches": searches,
                }
            )


def _run(
    name: str, row: str, recipe: Recipe, seed: int, data_root: str | None, quick: bool
) -> dict[str, Any]:
    problem = PROBLEMS[name].shortened() if quick else PROBLEMS[name]
    return train(problem, problem.load(data_root, seed), rows_of(problem)[row], recipe, seed)
