"""All tables of accuracy: ``python -m benchmarks.accuracy.comparison``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.comparison import cora, motifs, toys
from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.search import recipe_for, search
from benchmarks.accuracy.comparison.training import train
from benchmarks.accuracy.parallel import run_all
from pyg_modules._files import write_json
from pyg_modules.train.versions import versions

RESULTS = Path(__file__).with_name("comparison.json")
#: The tables that are no problem of vectors.
_OTHERS: dict[str, Callable[..., dict[str, Any]]] = {
    "cora": cora.run,
    "motifs": lambda _data_root, *, quick: motifs.run(quick=quick),
    "toys": lambda _data_root, *, quick: toys.run(quick=quick),
}
_TABLES = (*PROBLEMS, *_OTHERS)
_QUICK = ("wine", "diabetes", *_OTHERS)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.comparison", description=__doc__
    )
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    parser.add_argument("--quick", action="store_true", help="two epochs of one seed: does it run?")
    parser.add_argument(
        "--only", nargs="+", choices=_TABLES, help="these tables, keep the others in the file"
    )
    parser.add_argument("--rows", nargs="+", help="these rows alone, keep the others in the file")
    parser.add_argument("--search", action="store_true", help="choose recipes, without test data")
    options = parser.parse_args(arguments)
    if options.search:
        search(options.only or list(PROBLEMS), options.rows, options.data_root)
        return
    results: dict[str, Any] = {}
    if RESULTS.exists() and not options.quick:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    results["versions"] = versions()
    for name in options.only or (_QUICK if options.quick else _TABLES):
        try:
            _check_data(name, options.data_root)
        except (ImportError, ValueError) as error:
            print(f"Skipped {name}: {error}")
            continue
        if name in _OTHERS:
            results[name] = _OTHERS[name](options.data_root, quick=options.quick)
            _write(results, quick=options.quick)
            continue
        rows = [row for row in rows_of(PROBLEMS[name]) if not options.rows or row in options.rows]
        table = _table(PROBLEMS[name], rows, options.data_root, quick=options.quick)
        before = results.get(name, {"rows": {}, "recipes": {}})
        for key in ("rows", "recipes"):
            table[key] = {**before[key], **table[key]}
        results[name] = table
        _write(results, quick=options.quick)


def _check_data(name: str, data_root: str | None) -> None:
    """Raise where the data of a table cannot be had."""
    if name in PROBLEMS:
        PROBLEMS[name].load(data_root, 0)
    elif name == "cora":
        cora.load(data_root)


def _write(results: dict[str, Any], *, quick: bool) -> None:
    if not quick:
        write_json(RESULTS, results)


def _table(
    problem: Problem, rows: list[str], data_root: str | None, *, quick: bool
) -> dict[str, Any]:
    seeds = range(1 if quick else problem.seeds)
    specs = rows_of(problem)
    jobs = [(problem.name, row, seed, data_root, quick) for row in rows for seed in seeds]
    runs = run_all(_run, jobs, quick=quick)
    return {
        "size": problem.size,
        "num_hidden": problem.num_hidden,
        "epochs": problem.epochs,
        "batch_size": problem.batch_size,
        "recipes": {row: asdict(recipe_for(problem.name, specs[row].kind)) for row in rows},
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
