"""Far away on graphs: ``python -m benchmarks.accuracy.propagation``.

Chains, trees and rings, where a node has to know what is many edges away. Every kind of network
may try the same number of recipes, on seeds of their own; the best by validation is then trained on
the others. Whoever does not learn starts again, within the same number of epochs. It goes on where
it was stopped.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.accuracy.propagation.models import MODELS, recipes
from benchmarks.accuracy.propagation.tasks import TASKS
from benchmarks.accuracy.propagation.training import run
from benchmarks.accuracy.recipes import command, mean_and_spread
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("propagation.json")
#: By the first word of a task. Of chains few nodes are to be learned, else all or most.
EPOCHS = {"chains": 500, "trees": 3000, "rings": 3000}


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
            row.append(mean_and_spread(values))
        rows.append(row)
    return table(["test accuracy, %", *tasks], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    command(
        "benchmarks.accuracy.propagation",
        run,
        {(task, name): recipes(task, name) for task in TASKS for name in MODELS},
        {task: EPOCHS[task.split()[0]] for task in TASKS},
        "epochs",
        RESULTS,
        propagation,
        arguments,
    )


if __name__ == "__main__":
    main()
