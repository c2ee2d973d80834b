"""Topologies searched on MNIST-1D, 60 trials: ``python -m benchmarks.accuracy.topology``.

Graphs of all kinds, of about 15.1k parameters each, and complete ones, sparse MLPs and MLPs alone,
with as many trials of the same recipes, by a fifth of the training data that is left out. The best
of each is trained on all training data from ten fresh seeds: graphs, weights and orders that no
choice has seen. Trials are kept in a file of SQLite beside ``--out``: the same command goes on
after a kill.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.intervals import mean_difference
from benchmarks.accuracy.parallel import by_name, run_all
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules import SynchronousGraph
from pyg_modules._files import write_json
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.versions import versions
from pyg_modules.structure import Topology, TopologySearch, TopologySpace, search_topology
from pyg_modules.train import TopologyTraining, accuracy, fit, seeded

if TYPE_CHECKING:
    from optuna import Trial

RESULTS = Path(__file__).with_suffix(".json")
MAX_PARAMETERS, BATCH_SIZE = 15_110, 125
FIRST_FRESH_SEED = 1_000_000
_SIZES: dict[str, Any] = {
    "num_inputs": 40,
    "num_outputs": 10,
    "max_parameters": MAX_PARAMETERS,
    "num_updates": (2, 12),
}
_SPARSE = (0.02, 0.5)
SPACES = {
    "any": TopologySpace(**_SIZES, density=_SPARSE, num_modules=(1, 2, 4)),
    "complete": TopologySpace(**_SIZES, generators=("complete",)),
    "sparse_mlp": TopologySpace(**_SIZES, density=_SPARSE, generators=("layered",)),
    "mlp": TopologySpace(**_SIZES, density=(1.0, 1.0), generators=("layered",)),
}
LABELS = {
    "any": "graphs of all kinds",
    "complete": "complete graphs",
    "sparse_mlp": "sparse MLPs",
    "mlp": "MLPs",
}
#: Bounds of what is searched beside the topology.
RATES = {"learning_rate": (3e-3, 3e-2), "weight_decay": (0.1, 1.0)}
NOISE = (0.1, 1.0)


@dataclass(frozen=True)
class Budget:
    """How much is trained.

    Args:
        num_trials (int): Trials of each search.
        epochs (int): Epochs of each training.
        num_seeds (int): Fresh seeds.
    """

    num_trials: int = 60
    epochs: int = 200
    num_seeds: int = 10


QUICK = Budget(num_trials=2, epochs=1, num_seeds=2)


def noisy(noise: float, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Outputs of inputs with noise, in training, and targets."""
    x, y = batch
    return model(x + noise * torch.randn_like(x) if model.training else x), y


def train(epochs: int, layer: SynchronousGraph, trial: Trial) -> float:
    """The validation accuracy of a trial."""
    data = load_dataset("mnist1d")
    noise = trial.suggest_float("noise", *NOISE, log=True)
    training = TopologyTraining(
        data.train_x,
        data.train_y,
        epochs,
        suggest=RATES,
        forward=partial(noisy, noise),
        batch_size=BATCH_SIZE,
    )
    with seeded(trial.user_attrs["seed"]):
        return training(layer, trial)


def search(name: str, storage: str, num_trials: int, epochs: int) -> dict[str, Any]:
    """What is found in a space."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=epochs // 4)
    found = search_topology(
        partial(train, epochs),
        SPACES[name],
        num_trials=num_trials,
        storage=storage,
        study_name=f"{name}, {epochs} epochs",
        pruner=pruner,
    )
    return found.to_dict()


def confirm(
    name: str, topology: Topology, settings: dict[str, Any], seed: int, epochs: int
) -> dict[str, Any]:
    """The test accuracy from a fresh seed."""
    del name
    data = load_dataset("mnist1d")
    layer = topology.layer(seed)
    rates = {rate: settings[rate] for rate in RATES}
    with seeded(seed):
        fit(
            layer,
            data,
            epochs=epochs,
            seed=seed,
            forward=partial(noisy, settings["noise"]),
            batch_size=BATCH_SIZE,
            **rates,
        )
    return {
        "seed": seed,
        "num_parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "num_hidden": layer.graph.num_hidden,
        "test_accuracy": accuracy(layer, data.test_x, data.test_y),
    }


def run(out: Path, budget: Budget, *, quick: bool) -> None:
    """Search, confirm, and write; what was searched before the last kill is not searched again."""
    import optuna

    out.parent.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{out.with_suffix('.db').resolve()}"
    optuna.storages.RDBStorage(storage)  # Made once, before several workers open it.
    num_workers = 1 if quick else os.cpu_count() or 1
    searches = {}
    for name in SPACES:
        job = (name, storage, budget.num_trials, budget.epochs)
        run_all(search, [job] * num_workers, quick=quick)
        # Those of all workers, when all have ended.
        searches[name] = TopologySearch.from_dict(search(*job))
        print(searches[name], flush=True)
    jobs = [
        (name, found.best.topology, found.best.settings, FIRST_FRESH_SEED + seed, budget.epochs)
        for name, found in searches.items()
        for seed in range(budget.num_seeds)
    ]
    results = {
        "searches": {name: found.to_dict() for name, found in searches.items()},
        "fresh": by_name(jobs, run_all(confirm, jobs, quick=quick)),
        "epochs": budget.epochs,
        "versions": versions(),
    }
    write_json(out, results)


def topology(path: Path = RESULTS) -> str:
    """A row per space: the best topology, and how it does on fresh seeds."""
    results = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    values = {
        name: [100 * one["test_accuracy"] for one in runs]
        for name, runs in results["fresh"].items()
    }
    of_complete = values["complete"]
    for name, runs in results["fresh"].items():
        found = TopologySearch.from_dict(results["searches"][name])
        best, kind = found.best, found.best.topology
        density = "" if kind.density is None else f", density {kind.density:.2f}"
        modules = "" if kind.num_modules == 1 else f", {kind.num_modules} modules"
        rows.append(
            [
                LABELS[name],
                f"{kind.generator}{density}{modules}, {kind.num_updates} updates,"
                f" {kind.activation}",
                f"{round(mean(one['num_hidden'] for one in runs)):,}",
                f"{round(mean(one['num_parameters'] for one in runs)):,}",
                f"{100 * (best.score or 0):.1f}",
                f"**{mean(values[name]):.2f}** ± {stdev(values[name]):.2f}",
                "" if name == "complete" else mean_difference(values[name], of_complete),
            ]
        )
    num_trials = max(len(one["trials"]) for one in results["searches"].values())
    header = [
        "MNIST-1D, searched among",
        f"best of {num_trials} trials",
        *("hidden units", "parameters", "validation, %"),
        f"test, %, {len(runs)} fresh seeds",
        "difference to complete",
    ]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> None:
    """Search, confirm, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.topology", description=__doc__
    )
    options = parse(parser, arguments, RESULTS, quick="two trials of an epoch")
    run(options.out, QUICK if options.quick else Budget(), quick=options.quick)
    print(topology(options.out))


if __name__ == "__main__":
    main()
