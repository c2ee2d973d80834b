"""A few of all edges: ``python -m benchmarks.accuracy.sparsity``.

Graphs that are pruned and grown in the training, from the complete graph or from a random sparse
one, beside graphs that are only pruned, slowly or at once, random ones that stay, and RigL on an
MLP. Every way has as many trials on a fifth of the training data that is left out; the best recipe
is then trained on all of it from ten other seeds. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy import topology
from benchmarks.accuracy.intervals import mean_difference
from benchmarks.accuracy.recipes import measure
from benchmarks.accuracy.sparsity.tasks import TASKS
from benchmarks.accuracy.sparsity.training import SEEDS, TRIAL_SEEDS, run
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules import UnitGraph
from pyg_modules.datasets.named import DATA_ROOT_VARIABLE

RESULTS = Path(__file__).with_name("sparsity.json")
FIRST = "pruned, grown by gradient"


def runs_of(task: str, path: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """The final runs on a task by way, those of other benchmarks beside."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = {cell["model"]: cell["runs"] for cell in cells if cell["task"] == task}
    if task == "MNIST-1D, a sixth":
        fresh = json.loads(topology.RESULTS.read_text(encoding="utf-8"))["fresh"]["complete"]
        num_inputs, _, num_outputs = TASKS[task].sizes
        of_complete = [
            {
                "num_edges": UnitGraph.complete(
                    num_inputs, one["num_hidden"], num_outputs
                ).num_edges,
                "test": one["test_accuracy"],
            }
            for one in fresh
        ]
        found = {"complete, of as many parameters": of_complete} | found
    return found


def sparsity(task: str, path: Path = RESULTS) -> str:
    """A row per way to the edges of a task."""
    found = runs_of(task, path)
    scores = {way: [100 * one["test"] for one in runs] for way, runs in found.items()}
    complete = next(iter(scores))

    def difference(way: str, base: str) -> str:
        if way == base or 1 in (len(scores[way]), len(scores[base])):  # A quick run is of one.
            return ""
        return mean_difference(scores[way], scores[base])

    rows = []
    for way, runs in found.items():
        values = scores[way]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        seconds = [one["seconds"] for one in runs if "seconds" in one]
        rows.append(
            [
                way,
                f"{round(mean(one['num_edges'] for one in runs)):,}",
                f"**{mean(values):.2f}**{spread}",
                difference(way, complete),
                difference(way, FIRST),
                f"{mean(seconds):.0f}" if seconds else "",
            ]
        )
    header = [f"{task}, {len(scores[FIRST])} seeds", "edges", "test accuracy, %"]
    differences = [f"difference to {base}" for base in (complete, FIRST)]
    return table([*header, *differences, "CPU s"], rows)


def tables() -> dict[str, Callable[[], str]]:
    """The tables of what is measured, by the names that pages give them."""
    measured = {cell["task"] for cell in json.loads(RESULTS.read_text(encoding="utf-8"))["cells"]}
    return {f"sparsity: {name}": partial(sparsity, name) for name in TASKS if name in measured}


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.sparsity")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="tasks")
    parser.add_argument("--epochs", type=int, help="default: those of the task")
    parser.add_argument("--data-root", type=Path, help="folder with local copies of the data")
    options = parse(parser, arguments, RESULTS, quick="one recipe, one seed")
    if options.data_root:
        os.environ[DATA_ROOT_VARIABLE] = str(options.data_root)  # Other processes read it, too.
    measure(
        run,
        {
            (name, way): [
                (number, recipe["learning_rate"])
                for number, recipe in enumerate(TASKS[name].recipes)
            ]
            for name in options.only
            for way in TASKS[name].ways
        },
        {name: options.epochs or TASKS[name].epochs for name in options.only},
        options.out,
        trial_seeds=TRIAL_SEEDS,
        seeds=SEEDS,
        quick=options.quick,
    )
    for name in options.only:
        print(sparsity(name, options.out))


if __name__ == "__main__":
    main()
