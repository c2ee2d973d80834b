"""Larger than what was learned: ``python -m benchmarks.accuracy.extrapolation``.

Prefix sums and mazes, where more updates solve larger cases. All kinds of network have about as
many parameters, as many recipes to try, and as many batches of the same cases. It goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

from benchmarks.accuracy.extrapolation.models import MODELS, kinds, recipes
from benchmarks.accuracy.extrapolation.tasks import TASKS
from benchmarks.accuracy.extrapolation.training import TIMES, run
from benchmarks.accuracy.recipes import mean_and_spread, measure
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("extrapolation.json")


def extrapolation(path: Path = RESULTS) -> str:
    """A row per kind of network and number of updates, a column per task and size."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = {(cell["task"], cell["model"]): cell["runs"] for cell in cells}
    columns = [
        (name, size)
        for name, task in TASKS.items()
        for size in (task.sizes[-1], *task.larger)
        if any(name == cell["task"] for cell in cells)
    ]
    rows = []
    for model, (number, times) in product(MODELS, enumerate(TIMES)):
        if times > 1 and model == "GRU":  # It has as many updates as places.
            continue
        row = [model if times == 1 else f"{model}, {times} times the updates"]
        for task, size in columns:
            runs = found.get((task, model), [])
            values = [100 * one["test"][str(size)][number] for one in runs]
            row.append(f"{mean_and_spread(values)}, lowest {min(values):.1f}" if values else "")
        rows.append(row)
    return table(["cases solved, %", *(f"{task}, {size}" for task, size in columns)], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.extrapolation")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="the tasks")
    parser.add_argument("--batches", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one recipe, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    measure(
        run,
        {(task, name): recipes(name) for task in options.only for name in kinds(TASKS[task])},
        dict.fromkeys(options.only, options.batches),
        options.out,
        quick=options.quick,
    )
    print(extrapolation(options.out))


if __name__ == "__main__":
    main()
