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
    FIXED,
    MODELS,
    PROBLEMS,
    SHARE_OF_CHANGE,
    SHARE_SOON,
    run,
)
from benchmarks.accuracy.kinds import DECAYS, RECIPES
from benchmarks.accuracy.recipes import TRIAL_SEEDS, command, mean_and_spread
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


def agreements(path: Path = RESULTS) -> str:
    """Whether inputs are grouped by sides, with and without changes, by the same recipes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    trials = {(cell["task"], cell["model"]): cell["trials"] for cell in cells}
    rows = []
    for problem in dict.fromkeys(cell["task"] for cell in cells):
        changed, fixed = trials[problem, "whole"], trials[problem, FIXED]
        # Recipes are tried until one is right in all cases.
        count = min(len(changed), len(fixed)) // len(TRIAL_SEEDS)
        for number, (way, rate) in enumerate(RECIPES[:count]):
            of_recipe = slice(number * len(TRIAL_SEEDS), (number + 1) * len(TRIAL_SEEDS))
            runs = [("ari_first", changed), ("ari", changed), ("ari", fixed)]
            found = [f"{mean(run[key] for run in of[of_recipe]):.2f}" for key, of in runs]
            rows.append([problem, f"{DECAYS[way]:g}", f"{rate:g}", *found])
    header = ["one network, ARI of inputs", "weight decay", "learning rate", "at first"]
    return table([*header, "after the goals took turns", "after as many steps of the first"], rows)


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
