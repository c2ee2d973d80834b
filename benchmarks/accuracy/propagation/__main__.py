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
    """A row per kind of network, a column per task, chains and the others apart."""
    return f"{chains(path)}\n\n{trees_and_rings(path)}"


def chains(path: Path = RESULTS) -> str:
    """The results on chains."""
    return _of_tasks(path, [task for task in TASKS if task.startswith("chains")])


def trees_and_rings(path: Path = RESULTS) -> str:
    """The results on the other tasks."""
    return _of_tasks(path, [task for task in TASKS if not task.startswith("chains")])


def _of_tasks(path: Path, tasks: list[str]) -> str:
    """The results on these tasks, as far as there are any."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    accuracies = {
        (cell["task"], cell["model"]): [100 * one["test"] for one in cell["runs"]] for cell in cells
    }
    tasks = [task for task in tasks if any((task, name) in accuracies for name in MODELS)]
    rows = [
        [name, *(mean_and_spread(accuracies.get((task, name), [])) for task in tasks)]
        for name in MODELS
        if any((task, name) in accuracies for task in tasks)
    ]
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
