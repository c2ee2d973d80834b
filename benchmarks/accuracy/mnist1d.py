"""MNIST-1D with the solvers, five seeds: ``python -m benchmarks.accuracy.mnist1d``.

A complete unit graph of 100 hidden units, about 15.1k parameters.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.solve import Solver
from pyg_modules.train import accuracy, fit, load_dataset, seeded
from pyg_modules.train.versions import versions

RESULTS = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
NUM_HIDDEN, EPOCHS, TOL = 100, 200, 1e-4
SOLVERS: dict[str, Solver] = {
    "unrolled": Unrolled(steps=8),
    "equilibrium": Equilibrium(tol=TOL, contraction=0.95),
}
ACTIVATIONS = {"unrolled": "tanh", "equilibrium": "gelu"}
RECIPES = {
    "unrolled": {"learning_rate": 1e-2, "weight_decay": 1.0, "batch_size": 125},
    "equilibrium": {"learning_rate": 3e-3, "weight_decay": 1.0, "batch_size": 125},
}


def run(*, quick: bool) -> None:
    """Train and write; with ``quick``, two epochs of one seed, and nothing is written."""
    seeds, epochs = (SEEDS[:1], 2) if quick else (SEEDS, EPOCHS)
    jobs = [(name, seed, epochs) for name in SOLVERS for seed in seeds]
    # One thread each: as fast for networks of this size, and the same numbers on every machine.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        results = list(pool.map(_train, *zip(*jobs, strict=True)))
    runs = {
        name: [result for job, result in zip(jobs, results, strict=True) if job[0] == name]
        for name in SOLVERS
    }
    for name, of_solver in runs.items():
        values = [100 * result["test_accuracy"] for result in of_solver]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        print(f"{name}: {mean(values):.2f}{spread} %")
    if not quick:
        recipes = {
            name: {**RECIPES[name], "activation": ACTIVATIONS[name], "epochs": epochs}
            for name in SOLVERS
        }
        write_json(RESULTS, {"recipes": recipes, "versions": versions(), "runs": runs})


def _train(name: str, seed: int, epochs: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = load_dataset("mnist1d")
    start = time.perf_counter()
    with seeded(seed):
        graph = UnitGraph.complete(data.num_features, NUM_HIDDEN, data.num_classes)
        layer = SynchronousGraph(graph, SOLVERS[name], ACTIVATIONS[name])
    fit(layer, data, epochs=epochs, seed=seed, **RECIPES[name])  # type: ignore[arg-type]
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
    print(name, result, flush=True)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two epochs: does it run?")
    run(quick=parser.parse_args().quick)
