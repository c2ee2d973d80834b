"""Tasks that change one after the other: ``python -m benchmarks.accuracy.changing``.

All are learned together; then the first changes and is trained on alone, then the next. How much of
the others is forgotten, by one network and by modules? Every kind may try the same recipes, on
problems of their own; the best is then trained on others: for what is known at first, the one
that knows most then, for the changes the one that knows most in the end. It goes on where it was
stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.changing.tasks import FEWEST, PROBLEMS
from benchmarks.accuracy.changing.training import AT_FIRST, MODELS, run
from benchmarks.accuracy.kinds import KINDS, MORE_RECIPES, RECIPES
from benchmarks.accuracy.recipes import command, mean_and_spread
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("changing.json")
STEPS = 2000
_SCORE = "test accuracy, %, or 100 R²"
#: What is tried, by problem and kind of network.
TRIED = {
    **{(problem, name): RECIPES for problem in PROBLEMS for name in MODELS},
    **{
        (problem, kind + AT_FIRST): MORE_RECIPES if problem in FEWEST else RECIPES
        for problem in PROBLEMS
        for kind in KINDS
    },
}
#: By problem and kind of network.
Runs = dict[tuple[str, str], list[dict[str, Any]]]


def first(path: Path = RESULTS) -> str:
    """What is known of all tasks at first: a row per problem, a column per kind of network."""
    runs = _runs(path)
    rows = [
        [
            problem,
            *(_mean(runs[problem, kind + AT_FIRST], "first") for kind in KINDS),
            *(
                f"{mean(one['ari'] for one in runs[problem, kind + AT_FIRST]):.2f}"
                for kind in ("learned", "post_hoc")
            ),
        ]
        for problem in _measured(runs)
    ]
    return table([_SCORE, *KINDS.values(), "ARI of inputs, learned", "read off"], rows)


def changing(path: Path = RESULTS) -> str:
    """What is forgotten by a change, and known in the end."""
    runs = _runs(path)
    rows = [
        [problem, meaning, *(_mean(runs[problem, name], key) for key in _MEASURES)]
        for problem in _measured(runs)
        for name, meaning in MODELS.items()
    ]
    return table([_SCORE, "", *_MEASURES.values()], rows)


def summary(path: Path = RESULTS) -> str:
    """One network and learned modules, of the problems with the fewest samples."""
    runs, names = _runs(path), ("whole", "learned")
    keys = ("last", "forgotten")
    rows = [
        [
            problem,
            *(_mean(runs[problem, name], key) for name in names for key in keys),
        ]
        for problem in FEWEST
    ]
    header = [f"{MODELS[name]}: {_MEASURES[key]}" for name in names for key in keys]
    return table([_SCORE, *header], rows)


_MEASURES = {
    "first": "at first",
    "learned": "the changed task",
    "forgotten": "forgotten of each other",
    "last": "all, in the end",
    "circuit": "hidden units per task, %",
}


def _runs(path: Path) -> Runs:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {(cell["task"], cell["model"]): cell["runs"] for cell in cells}


def _measured(runs: Runs) -> list[str]:
    return [problem for problem in PROBLEMS if (problem, "random") in runs]


def _mean(runs: list[dict[str, Any]], key: str) -> str:
    return mean_and_spread([100 * one[key] for one in runs])


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    command(
        "benchmarks.accuracy.changing",
        run,
        TRIED,
        dict.fromkeys(PROBLEMS, STEPS),
        "steps",
        RESULTS,
        changing,
        arguments,
    )


if __name__ == "__main__":
    main()
