"""A mixture of rules, by the number of samples: ``python -m benchmarks.accuracy.rules``.

Every kind may try the same recipes, on problems of their own; the best is then trained on others.
It goes on where it was stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import torch

from benchmarks.accuracy.kinds import RECIPES
from benchmarks.accuracy.recipes import command, mean_and_spread
from benchmarks.accuracy.rules.specialization import (
    collapse,
    inverse_information,
    maladaptation,
    misalignment,
)
from benchmarks.accuracy.rules.tasks import TASKS
from benchmarks.accuracy.rules.training import MODELS, run
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("rules.json")
STEPS = 3000
_MEASURES = {
    "collapse": collapse,
    "misalignment": misalignment,
    "inverse information": inverse_information,
    "maladaptation": maladaptation,
}


def rules(path: Path = RESULTS) -> str:
    """A row per number of samples and kind of network."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    rows = []
    for cell in cells:
        runs = cell["runs"]
        of_runs = [torch.tensor(one["shares"]) for one in runs if "shares" in one]
        rows.append(
            [
                cell["task"],
                MODELS[cell["model"]],
                mean_and_spread([100 * one["test"] for one in runs]),
                *(
                    f"{mean(measure(shares) for shares in of_runs):.2f}" if of_runs else ""
                    for measure in _MEASURES.values()
                ),
            ]
        )
    return table(["four rules", "", "100 R²", *_MEASURES], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    command(
        "benchmarks.accuracy.rules",
        run,
        {(task, name): RECIPES for task in TASKS for name in MODELS},
        dict.fromkeys(TASKS, STEPS),
        "steps",
        RESULTS,
        rules,
        arguments,
    )


if __name__ == "__main__":
    main()
