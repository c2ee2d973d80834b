"""Far away on graphs: ``python -m benchmarks.accuracy.propagation``.

Chains, trees and rings, where a node has to know what is many edges away. Of every kind of network
the same number of recipes is tried, each once, on a seed of its own; the best by validation is then
trained on the others. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.propagation.models import MODELS, recipes
from benchmarks.accuracy.propagation.tasks import TASKS
from benchmarks.accuracy.propagation.training import run
from benchmarks.markdown import table
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

RESULTS = Path(__file__).with_name("propagation.json")
SEEDS, TRIAL = range(5), 100


def propagation(path: Path = RESULTS) -> str:
    """A row per kind of network, a column per task."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tasks = [task for task in TASKS if any(cell["task"] == task for cell in cells)]
    rows = []
    for name in MODELS:
        row = [name]
        for task in tasks:
            values = [
                100 * one["test"]
                for cell in cells
                if (cell["task"], cell["model"]) == (task, name)
                for one in cell["runs"]
            ]
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            row.append(f"{mean(values):.1f}{spread}" if values else "")
        rows.append(row)
    return table(["test accuracy, %", *tasks], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.propagation")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="the tasks")
    parser.add_argument("--epochs", type=int, default=500, help="at most; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one recipe, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    cells = []
    if options.out.exists() and not options.quick:
        cells = json.loads(options.out.read_text(encoding="utf-8"))["cells"]
    known = {(cell["task"], cell["model"]) for cell in cells}
    for task in options.only:
        for name in MODELS:
            if (task, name) in known:
                continue
            tried = recipes(name)[:1] if options.quick else recipes(name)
            ends = [options.epochs]
            trials = run_all(
                run,
                [(task, name, *recipe, TRIAL, *ends) for recipe in tried],
                quick=options.quick,
            )
            best = max(range(len(tried)), key=lambda number: trials[number]["val"])
            seeds = SEEDS[:1] if options.quick else SEEDS
            runs = run_all(
                run,
                [(task, name, *tried[best], seed, *ends) for seed in seeds],
                quick=options.quick,
            )
            cells.append(
                {
                    "task": task,
                    "model": name,
                    "way": tried[best][0],
                    "rate": tried[best][1],
                    "trials": trials,
                    "runs": runs,
                }
            )
            write_json(options.out, {"cells": cells, "versions": versions()})
    print(propagation(options.out))


if __name__ == "__main__":
    main()
