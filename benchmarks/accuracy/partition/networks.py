"""Real data: what does cutting a network into its learned modules cost?"""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.parallel import run_all
from pyg_modules.train import ExperimentConfig, load_dataset, run_experiment

SEEDS = (0, 1, 2)
TOLERANCE = 0.1
#: The settings of ``pyg-modules train`` that are not its defaults, by data set.
SETTINGS: dict[str, dict[str, Any]] = {
    "mnist1d": {
        "hidden": 100,
        "steps": 8,
        "activation": "tanh",
        "learning_rate": 1e-2,
        "weight_decay": 1.0,
        "batch_size": 125,
        "epochs": 60,
        "finetune_epochs": 140,
    },
    "digits": {},
    "optdigits": {},
    "mnist10k": {},
}
MODULES = {"mnist1d": (4,), "digits": (4, 8), "optdigits": (4, 8), "mnist10k": (4, 8)}


def run(data_root: str | None, *, quick: bool) -> list[dict[str, Any]]:
    """Every data set and number of modules, three seeds; ``quick``: one epoch of the first two."""
    names = list(SETTINGS)[:2] if quick else list(SETTINGS)
    seeds = SEEDS[:1] if quick else SEEDS
    jobs = [
        (name, modules, seed, data_root, quick)
        for name in names
        for modules in MODULES[name]
        for seed in seeds
    ]
    return run_all(train, jobs)


def train(name: str, modules: int, seed: int, data_root: str | None, quick: bool) -> dict[str, Any]:
    """One experiment of the command line."""
    settings = dict(SETTINGS[name])
    if quick:
        settings |= {"epochs": 4, "finetune_epochs": 1}
    config = ExperimentConfig(modules=modules, tolerance=TOLERANCE, seed=seed, **settings)
    result = run_experiment(load_dataset(name, data_root), config)
    return result.metrics()
