"""A goal that alternates: ``python -m benchmarks.accuracy.alternating``.

Is there an object on both sides of the retina? Is there one on any? Kashtan & Alon (PNAS 2005)
found that networks become modular where such goals take turns. Do ours, by gradients? And are
modules faster to follow? Every kind may try the same recipes, on problems of their own; the best is
then trained on others. It goes on where it was stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

from benchmarks.accuracy.alternating.training import (
    MODELS,
    PROBLEMS,
    SHARE_OF_CHANGE,
    SHARE_SOON,
    run,
)
from benchmarks.accuracy.kinds import RECIPES
from benchmarks.accuracy.recipes import command, mean_and_spread
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("alternating.json")
STEPS = 3000
_SCORES = {
    "first": "at first",
    "soon": f"{STEPS * SHARE_SOON:.0f} steps after a change",
    "late": f"{STEPS * SHARE_OF_CHANGE:.0f} steps after a change",
}
_AGREEMENTS = {"ari_first": "ARI of inputs, at first", "ari": "in the end"}


def alternating(path: Path = RESULTS) -> str:
    """A row per number of samples and kind of network."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    rows = [
        [
            cell["task"],
            MODELS[cell["model"]],
            *(mean_and_spread([100 * one[key] for one in cell["runs"]]) for key in _SCORES),
            *(f"{mean(one[key] for one in cell['runs']):.2f}" for key in _AGREEMENTS),
        ]
        for cell in cells
    ]
    return table(["test accuracy, %", "", *_SCORES.values(), *_AGREEMENTS.values()], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    command(
        "benchmarks.accuracy.alternating",
        run,
        {(problem, name): RECIPES for problem in PROBLEMS for name in MODELS},
        dict.fromkeys(PROBLEMS, STEPS),
        "steps",
        RESULTS,
        alternating,
        arguments,
    )


if __name__ == "__main__":
    main()
