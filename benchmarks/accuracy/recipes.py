"""Kinds of networks on tasks, each kind with as many recipes tried."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.journal import Journal
from benchmarks.accuracy.parallel import run_all, run_each
from benchmarks.options import parse
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

SEEDS = range(5)
# One is not enough to choose by: some recipes learn on some seeds only.
TRIAL_SEEDS = range(100, 103)

#: Which way to build a network, and the rate to train it with.
Recipe = tuple[int, float]


def measure(
    run: Callable[..., dict[str, Any]],
    recipes: dict[tuple[str, str], list[Recipe]],
    budgets: dict[str, int],
    out: Path,
    *,
    quick: bool,
    trial_seeds: range = TRIAL_SEEDS,
    seeds: range = SEEDS,
) -> None:
    """Try every recipe on seeds of their own, then train the best on average on the others.

    What is measured already, in ``out`` or a journal beside it, is kept, so that it goes on where
    it was stopped. With ``quick`` all is measured again, by one recipe and one seed. Recipes are
    tried in their order, until one is right in all cases: none can be better.

    Args:
        run (Callable): ``run(task, kind, way, rate, seed, budget)`` trains a network; it returns
            ``"val"``, at most 1, the higher the better, and what else is worth keeping.
        recipes (dict): The recipes by the names of the task and of the kind of network.
        budgets (dict): How long to train, by the name of the task.
        out (Path): The JSON file, with a cell for every task and kind.
        quick (bool): See above.
        trial_seeds (range, optional): Of the trials. (default: :data:`TRIAL_SEEDS`)
        seeds (range, optional): Of the runs that count. (default: :data:`SEEDS`)
    """
    cells = []
    if out.exists() and not quick:
        cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    known = {(cell["task"], cell["model"]) for cell in cells}
    journal = None if quick else Journal(out.with_suffix(".journal"))
    if quick:
        trial_seeds, seeds = trial_seeds[:1], seeds[:1]
    for (task, name), all_recipes in recipes.items():
        if (task, name) in known:
            continue
        budget = budgets[task]
        tried = all_recipes[:1] if quick else all_recipes
        settings = [
            (task, name, *recipe, seed, budget) for recipe, seed in product(tried, trial_seeds)
        ]
        # Those of the next recipe begin while the last of one are on their way.
        results = run_each(run, settings, quick=quick, journal=journal)
        trials: list[dict[str, Any]] = []
        means: list[float] = []
        for _ in tried:
            trials += islice(results, len(trial_seeds))
            means.append(mean(trial["val"] for trial in trials[-len(trial_seeds) :]))
            if means[-1] == 1:
                break  # None of the others is better.
        results.close()
        way, rate = tried[max(range(len(means)), key=means.__getitem__)]
        settings = [(task, name, way, rate, seed, budget) for seed in seeds]
        runs = run_all(run, settings, quick=quick, journal=journal)
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
        if journal is not None:
            journal.clear()


def command(
    package: str,
    run: Callable[..., dict[str, Any]],
    recipes: dict[tuple[str, str], list[Recipe]],
    budgets: dict[str, int],
    unit: str,
    results: Path,
    show: Callable[[Path], str],
    arguments: list[str] | None,
) -> None:
    """Of a benchmark, from the command line: measure and print.

    Args:
        package (str): Its name.
        run (Callable): See :func:`measure`.
        recipes (dict): See :func:`measure`.
        budgets (dict): See :func:`measure`.
        unit (str): What budgets count.
        results (Path): The JSON file.
        show (Callable): The table of such a file.
        arguments (list of str, optional): Of the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package}")
    parser.add_argument("--only", nargs="*", default=list(budgets), choices=budgets, help="tasks")
    parser.add_argument(f"--{unit}", dest="budget", type=int, help=f"default: {budgets}")
    options = parse(parser, arguments, results, quick="one recipe, one seed")
    measure(
        run,
        {key: tried for key, tried in recipes.items() if key[0] in options.only},
        {task: options.budget or budgets[task] for task in options.only},
        options.out,
        quick=options.quick,
    )
    print(show(options.out))


def mean_and_spread(values: list[float]) -> str:
    """The mean of some runs, with the standard deviation where there are several."""
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}" if values else ""
