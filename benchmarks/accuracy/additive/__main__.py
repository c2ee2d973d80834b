"""Answers that are sums of terms: ``python -m benchmarks.accuracy.additive``.

Modules with inputs of their own and an output that they share, against one network, by the number
of samples. Every kind may try the same recipes, on problems of their own; the best is then trained
on others. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.additive.tasks import FEWEST, TASKS
from benchmarks.accuracy.additive.training import DECAYS, MODELS, run
from benchmarks.accuracy.recipes import mean_and_spread, measure
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("additive.json")
STEPS = 3000
RECIPES = list(product(range(len(DECAYS)), (3e-3, 1e-2)))


def additive(path: Path = RESULTS) -> str:
    """A row per task, a column per kind of network, and whose inputs learned modules have."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    of = {(cell["task"], cell["model"]): cell["runs"] for cell in cells}
    rows = []
    for task in TASKS:
        if (task, "whole") in of:
            scores = [
                mean_and_spread([100 * one["test"] for one in of[task, name]]) for name in MODELS
            ]
            rows.append(
                [task, *scores, *(_ari(of[task, name]) for name in ("learned", "post_hoc"))]
            )
    header = [*MODELS.values(), "ARI of inputs, learned", "read off"]
    return table(["test accuracy, %, or 100 R²", *header], rows)


def summary(path: Path = RESULTS) -> str:
    """The tasks with the fewest samples."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    of = {(cell["task"], cell["model"]): cell["runs"] for cell in cells}
    columns = ("whole", "learned", "random", "true")
    rows = [
        [
            task,
            *(mean_and_spread([100 * one["test"] for one in of[task, name]]) for name in columns),
        ]
        for task in FEWEST
    ]
    return table(["test accuracy, %, or 100 R²", *(MODELS[name] for name in columns)], rows)


def _ari(runs: list[dict[str, Any]]) -> str:
    return f"{mean(run['ari'] for run in runs):.2f}"


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.additive")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="the tasks")
    parser.add_argument("--steps", type=int, default=STEPS, help="of every training")
    parser.add_argument("--quick", action="store_true", help="one recipe, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    measure(
        run,
        {(task, name): RECIPES for task in options.only for name in MODELS},
        dict.fromkeys(options.only, options.steps),
        options.out,
        quick=options.quick,
    )
    print(additive(options.out))


if __name__ == "__main__":
    main()
