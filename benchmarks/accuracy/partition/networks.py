"""Real data: what does cutting a network into its learned modules cost?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.accuracy.journal import Journal
from benchmarks.accuracy.parallel import run_all
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment import ExperimentConfig, run_experiment

_NUM_SEEDS = {"mnist1d": 10, "digits": 10, "optdigits": 10, "mnist10k": 3}
TOLERANCE = 0.1
#: The settings of ``pyg-modules train`` that are not its defaults, by data set. ``--search`` chose
#: the epochs before the cut, with four modules; those of MNIST-10k are the default.
SETTINGS: dict[str, dict[str, Any]] = {
    "mnist1d": {
        "num_hidden": 100,
        "steps": 8,
        "activation": "tanh",
        "learning_rate": 1e-2,
        "weight_decay": 1.0,
        "batch_size": 125,
        "epochs": 20,
        "finetune_epochs": 180,
    },
    "digits": {},
    "optdigits": {},
    "mnist10k": {},
}
MODULES = {"mnist1d": (4,), "digits": (4, 8), "optdigits": (4, 8), "mnist10k": (4, 8)}


def run(data_root: str | None, journal: Journal | None, *, quick: bool) -> list[dict[str, Any]]:
    """Every data set and number of modules, several seeds; ``quick``: few epochs of one of each."""
    names = ["digits"] if quick else list(SETTINGS)
    jobs = [
        (name, modules, seed, data_root, quick)
        for name in names
        for modules in MODULES[name]
        for seed in range(1 if quick else _NUM_SEEDS[name])
    ]
    return run_all(train, jobs, quick=quick, journal=journal)


def train(name: str, modules: int, seed: int, data_root: str | None, quick: bool) -> dict[str, Any]:
    """One experiment of the command line."""
    config = config_of(name, modules, seed)
    if quick:
        config = replace(config, epochs=4, finetune_epochs=1)
    result = run_experiment(load_dataset(name, data_root), config)
    return result.metrics()


def config_of(name: str, modules: int, seed: int) -> ExperimentConfig:
    """The settings for a data set."""
    return ExperimentConfig(num_modules=modules, tolerance=TOLERANCE, seed=seed, **SETTINGS[name])
