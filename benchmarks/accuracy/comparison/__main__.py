"""All tables of accuracy: ``python -m benchmarks.accuracy.comparison``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.search import recipe_for, search
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.parallel import run_all
from pyg_modules._files import write_json
from pyg_modules.train.versions import versions

RESULTS = Path(__file__).with_name("comparison.json")
_QUICK = ("wine", "diabetes")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.comparison", description=__doc__
    )
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    parser.add_argument("--quick", action="store_true", help="two epochs of one seed: does it run?")
    parser.add_argument(
        "--only", nargs="+", choices=PROBLEMS, help="these tables, keep the others in the file"
    )
    parser.add_argument("--search", action="store_true", help="choose recipes, without test data")
    options = parser.parse_args(arguments)
    if options.search:
        search(options.only or list(PROBLEMS), options.data_root)
        return
    results: dict[str, Any] = {}
    if RESULTS.exists() and not options.quick:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    results["versions"] = versions()
    for name in options.only or (_QUICK if options.quick else PROBLEMS):
        try:
            PROBLEMS[name].load(options.data_root, 0)
        except (ImportError, ValueError) as error:
            print(f"Skipped {name}: {error}")
            continue
        results[name] = _table(PROBLEMS[name], options.data_root, quick=options.quick)
        if not options.quick:
            write_json(RESULTS, results)


def _table(problem: Problem, data_root: str | None, *, quick: bool) -> dict[str, Any]:
    seeds = range(1 if quick else problem.seeds)
    rows = rows_of(problem)
    jobs = [(problem.name, row, seed, data_root, quick) for row in rows for seed in seeds]
    runs = run_all(_run, jobs, quick=quick)
    return {
        "size": problem.size,
        "num_hidden": problem.num_hidden,
        "epochs": problem.epochs,
        "batch_size": problem.batch_size,
        "recipes": {row: asdict(recipe_for(problem.name, rows[row].kind)) for row in rows},
        "rows": {
            row: [run for job, run in zip(jobs, runs, strict=True) if job[1] == row] for row in rows
        },
    }


def _run(name: str, row: str, seed: int, data_root: str | None, quick: bool) -> dict[str, Any]:
    problem = PROBLEMS[name]
    if quick:
        problem = replace(problem, epochs=2)
    spec = rows_of(problem)[row]
    recipe = recipe_for(name, spec.kind)
    return train(problem, problem.load(data_root, seed), spec, recipe, seed)


if __name__ == "__main__":
    main()
