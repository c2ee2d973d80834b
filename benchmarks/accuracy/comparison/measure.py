"""The rows of a table, with the recipes that were found."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.search import recipe_for
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.parallel import by_name, run_all

#: The search uses those before it.
FIRST_SEED = 10


def measure(
    problem: Problem, rows: list[str], data_root: str | None, *, quick: bool
) -> dict[str, Any]:
    """These rows, all seeds; ``quick``: two epochs of one seed."""
    seeds = range(FIRST_SEED, FIRST_SEED + (1 if quick else problem.seeds))
    specs = rows_of(problem)
    jobs = [(problem.name, row, seed, data_root, quick) for row in rows for seed in seeds]
    runs = run_all(_run, jobs, quick=quick)
    return {
        "size": problem.size,
        "num_hidden": problem.num_hidden,
        "epochs": problem.epochs,
        "batch_size": problem.batch_size,
        "recipes": {row: asdict(recipe_for(problem.name, specs[row].kind)) for row in rows},
        "rows": by_name(jobs, runs, position=1),
    }


def _run(name: str, row: str, seed: int, data_root: str | None, quick: bool) -> dict[str, Any]:
    problem = PROBLEMS[name]
    if quick:
        problem = replace(problem, epochs=2)
    spec = rows_of(problem)[row]
    recipe = recipe_for(name, spec.kind)
    return train(problem, problem.load(data_root, seed), spec, recipe, seed)
