"""Answers that are sums of terms: ``python -m benchmarks.accuracy.additive``.

Modules with inputs of their own and an output that they share, against one network, by the number
of samples. Every kind may try the same recipes, on problems of their own; the best is then trained
on others. It goes on where it was stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.additive.tasks import FEWEST, TASKS
from benchmarks.accuracy.additive.training import run
from benchmarks.accuracy.kinds import KINDS, MORE_RECIPES, RECIPES
from benchmarks.accuracy.recipes import command, mean_and_spread
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("additive.json")
#: With so few samples, the best of the usual recipes for one network is the last of them.
_SCARCE = ("sines, 400 samples", "teachers, 400 samples")
#: What is tried, by task and kind of network.
TRIED = {
    (task, name): MORE_RECIPES if task in _SCARCE else RECIPES for task in TASKS for name in KINDS
}
STEPS = 3000
_SCORE = "test accuracy, %, or 100 R²"
#: By task and kind of network.
Runs = dict[tuple[str, str], list[dict[str, Any]]]


def additive(path: Path = RESULTS) -> str:
    """A row per task, a column per kind of network, and whose inputs learned modules have."""
    runs = _runs(path)
    rows = [
        [
            *_scores(runs, task, list(KINDS)),
            *(_ari(runs[task, name]) for name in ("learned", "post_hoc")),
        ]
        for task in TASKS
        if (task, "whole") in runs
    ]
    return table([_SCORE, *KINDS.values(), "ARI of inputs, learned", "read off"], rows)


def summary(path: Path = RESULTS) -> str:
    """The tasks with the fewest samples."""
    runs, names = _runs(path), ["whole", "learned", "random", "true"]
    rows = [_scores(runs, task, names) for task in FEWEST]
    return table([_SCORE, *(KINDS[name] for name in names)], rows)


def _runs(path: Path) -> Runs:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {(cell["task"], cell["model"]): cell["runs"] for cell in cells}


def _scores(runs: Runs, task: str, names: list[str]) -> list[str]:
    """The first cells of a row."""
    of_all = ([100 * one["test"] for one in runs[task, name]] for name in names)
    return [task, *map(mean_and_spread, of_all)]


def _ari(runs: list[dict[str, Any]]) -> str:
    return f"{mean(run['ari'] for run in runs):.2f}"


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    command(
        "benchmarks.accuracy.additive",
        run,
        TRIED,
        dict.fromkeys(TASKS, STEPS),
        "steps",
        RESULTS,
        additive,
        arguments,
    )


if __name__ == "__main__":
    main()
