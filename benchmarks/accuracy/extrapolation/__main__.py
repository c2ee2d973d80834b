"""Larger than what was learned: ``python -m benchmarks.accuracy.extrapolation``.

Chains, fields and mazes, where more updates solve larger cases. All kinds of network have about as
many parameters, as many recipes to try, and as many batches of the same cases. It goes on where it
was stopped.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.accuracy.extrapolation.models import MODELS, REPEATING, kinds, recipes
from benchmarks.accuracy.extrapolation.tasks import TASKS
from benchmarks.accuracy.extrapolation.training import TIMES, run
from benchmarks.accuracy.recipes import command, mean_and_spread
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
    command(
        "benchmarks.accuracy.extrapolation",
        run,
        {(name, kind): recipes(kind) for name, task in TASKS.items() for kind in kinds(task)},
        {name: task.batches for name, task in TASKS.items()},
        "batches",
        RESULTS,
        extrapolation,
        arguments,
    )


if __name__ == "__main__":
    main()
