"""MNIST-1D with the solvers, five seeds: ``python -m benchmarks.accuracy.mnist1d``.

A complete unit graph of 100 hidden units, about 15.1k parameters. ``--search`` compares recipes for
the equilibrium on a fifth of the training data that is left out, without the test data.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.parallel import by_name, run_all
from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.datasets import Dataset, load_dataset
from pyg_modules.experiment.versions import versions
from pyg_modules.solve import Solver
from pyg_modules.train import accuracy, fit, seeded

RESULTS = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
NUM_HIDDEN, EPOCHS, TOL = 100, 200, 1e-4
SOLVERS: dict[str, Solver] = {
    "unrolled": Unrolled(steps=8),
    "equilibrium": Equilibrium(tol=TOL, contraction=0.95),
}
RECIPES: dict[str, dict[str, Any]] = {
    "unrolled": {
        "activation": "tanh",
        "learning_rate": 1e-2,
        "weight_decay": 1.0,
        "batch_size": 125,
    },
    "equilibrium": {
        "activation": "gelu",
        "learning_rate": 1e-2,
        "weight_decay": 1.0,
        "batch_size": 125,
    },
}
SEARCHED = {
    "activation": ("gelu", "relu", "elu"),
    "learning_rate": (3e-3, 1e-2),
    "weight_decay": (0.1, 1.0),
    "batch_size": (125,),
}
SEARCH_RESULTS = RESULTS.with_name("mnist1d_search.json")


def run(*, quick: bool) -> None:
    """Train and write; with ``quick``, two epochs of one seed, and nothing is written."""
    seeds, epochs = (SEEDS[:1], 2) if quick else (SEEDS, EPOCHS)
    jobs = [(name, RECIPES[name], seed, epochs) for name in SOLVERS for seed in seeds]
    results = run_all(_test, jobs)
    runs = by_name(jobs, results)
    for name, of_solver in runs.items():
        values = [100 * result["test_accuracy"] for result in of_solver]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        print(f"{name}: {mean(values):.2f}{spread} %")
    if not quick:
        recipes = {name: {**RECIPES[name], "epochs": epochs} for name in SOLVERS}
        write_json(RESULTS, {"recipes": recipes, "versions": versions(), "runs": runs})


def search() -> None:
    """Compare all recipes of the grid for the equilibrium on left-out training data, and write."""
    recipes = [
        dict(zip(SEARCHED, values, strict=True)) for values in itertools.product(*SEARCHED.values())
    ]
    results = run_all(_validate, [("equilibrium", recipe, 0, EPOCHS) for recipe in recipes])
    results.sort(key=lambda result: -float(result["validation_accuracy"]))
    write_json(SEARCH_RESULTS, {"versions": versions(), "best_first": results})


def _train(
    data: Dataset, name: str, recipe: dict[str, Any], seed: int, epochs: int
) -> SynchronousGraph:
    settings = dict(recipe)
    activation = settings.pop("activation")
    with seeded(seed):
        graph = UnitGraph.complete(data.num_features, NUM_HIDDEN, data.num_classes)
        layer = SynchronousGraph(graph, SOLVERS[name], activation)
    fit(layer, data, epochs=epochs, seed=seed, **settings)
    return layer


def _validate(name: str, recipe: dict[str, Any], seed: int, epochs: int) -> dict[str, Any]:
    data = held_out(load_dataset("mnist1d"))
    layer = _train(data, name, recipe, seed, epochs)
    return {
        **recipe,
        "training_accuracy": accuracy(layer, data.train_x, data.train_y),
        "validation_accuracy": accuracy(layer, data.test_x, data.test_y),
    }


def _test(name: str, recipe: dict[str, Any], seed: int, epochs: int) -> dict[str, Any]:
    data = load_dataset("mnist1d")
    start = time.perf_counter()
    layer = _train(data, name, recipe, seed, epochs)
    result = {
        "seed": seed,
        "num_parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "test_accuracy": accuracy(layer, data.test_x, data.test_y),
        "seconds": time.perf_counter() - start,
    }
    if name == "equilibrium":
        with torch.no_grad():
            solution = layer.solve(data.test_x)
        assert isinstance(solution.steps, torch.Tensor)
        assert solution.residual is not None
        result |= {
            "largest_residual": float(solution.residual.max()),
            "share_converged": float((solution.residual <= TOL).double().mean()),
            "mean_steps": float(solution.steps.double().mean()),
        }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two epochs: does it run?")
    parser.add_argument("--search", action="store_true", help="compare recipes, without test data")
    options = parser.parse_args()
    if options.search:
        search()
    else:
        run(quick=options.quick)
