"""Kinds of networks on tasks, each kind with as many recipes tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.parallel import run_all
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

SEEDS, TRIAL = range(5), 100

#: Which way to build a network, and the rate to train it with.
Recipe = tuple[int, float]


def measure(
    run: Callable[..., dict[str, Any]],
    recipes: dict[tuple[str, str], list[Recipe]],
    budget: int,
    out: Path,
    *,
    quick: bool,
    trial_seeds: Sequence[int] = (TRIAL,),
) -> None:
    """Try every recipe on seeds of its own, then train the best by validation on the others.

    What is measured already, in ``out``, is kept, so that it goes on where it was stopped. With
    ``quick`` all is measured again, by one recipe and one seed.

    Args:
        run (Callable): ``run(task, kind, way, rate, seed, budget)`` trains a network; it returns
            ``"val"``, the higher the better, and what else is worth keeping.
        recipes (dict): The recipes by the names of the task and of the kind of network.
        budget (int): How long to train.
        out (Path): The JSON file, with a cell for every task and kind.
        quick (bool): See above.
        trial_seeds (sequence of int): Those that every recipe is tried on; the mean of their
            ``"val"`` counts. (default: ``100`` alone)
    """
    cells = []
    if out.exists() and not quick:
        cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    known = {(cell["task"], cell["model"]) for cell in cells}
    seeds = SEEDS[:1] if quick else SEEDS
    for (task, name), all_recipes in recipes.items():
        if (task, name) in known:
            continue
        tried = all_recipes[:1] if quick else all_recipes
        settings = [(task, name, *recipe, seed, budget) for recipe in tried for seed in trial_seeds]
        trials = run_all(run, settings, quick=quick)
        values = [trial["val"] for trial in trials]
        number = len(trial_seeds)
        means = [mean(values[first : first + number]) for first in range(0, len(values), number)]
        way, rate = tried[max(range(len(tried)), key=means.__getitem__)]
        runs = run_all(run, [(task, name, way, rate, seed, budget) for seed in seeds], quick=quick)
        cells.append(
            {
                "task": task,
                "model": name,
                "budget": budget,
                "way": way,
                "rate": rate,
                "trials": trials,
                "runs": runs,
            }
        )
        write_json(out, {"cells": cells, "versions": versions()})


def mean_and_spread(values: list[float]) -> str:
    """The mean of some runs, with the standard deviation where there are several."""
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}" if values else ""
