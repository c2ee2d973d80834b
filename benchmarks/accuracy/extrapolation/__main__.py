"""Larger than what was learned: ``python -m benchmarks.accuracy.extrapolation``.

Chains, fields and mazes, where more updates solve larger cases. All kinds of network have about as
many parameters, as many recipes to try, and as many batches of the same cases. It goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.accuracy.extrapolation.models import MODELS, REPEATING, kinds, recipes
from benchmarks.accuracy.extrapolation.tasks import TASKS
from benchmarks.accuracy.extrapolation.training import TIMES, run
from benchmarks.accuracy.recipes import mean_and_spread, measure
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("extrapolation.json")


def extrapolation(path: Path = RESULTS) -> str:
    """A row per task and size, a column per kind of network and number of updates."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = {(cell["task"], cell["model"]): cell["runs"] for cell in cells}
    columns = [
        (name, number)
        for name in MODELS
        for number in range(len(TIMES) if name in REPEATING else 1)
    ]
    rows = []
    for name, task in TASKS.items():
        if not any(name == cell["task"] for cell in cells):
            continue
        for size in (task.sizes[-1], *task.larger):
            row = [f"{name}, {size}"]
            for model, number in columns:
                values = [
                    100 * run["test"][str(size)][number] for run in found.get((name, model), [])
                ]
                row.append(f"{mean_and_spread(values)}, lowest {min(values):.1f}" if values else "")
            rows.append(row)
    names = [
        name if number == 0 else f"{TIMES[number]} times the updates" for name, number in columns
    ]
    return table(["cases solved, %", *names], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.extrapolation")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="the tasks")
    parser.add_argument("--batches", type=int, help="for all tasks; default: those of each")
    parser.add_argument("--quick", action="store_true", help="one recipe, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    measure(
        run,
        {(task, name): recipes(name) for task in options.only for name in kinds(TASKS[task])},
        {task: options.batches or TASKS[task].batches for task in options.only},
        options.out,
        quick=options.quick,
    )
    print(extrapolation(options.out))


if __name__ == "__main__":
    main()
