"""How many of the epochs come before the cut? Compared on left-out training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.partition.networks import config_of
from pyg_modules._files import write_json
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.experiment import organise_as
from pyg_modules.experiment.versions import versions
from pyg_modules.train import accuracy

RESULTS = Path(__file__).with_name("search.json")
SHARES = (0.1, 0.25, 0.5, 0.75)
SEEDS = tuple(range(8))
DATASETS = ("mnist1d", "digits", "optdigits")


def search(data_root: str | None) -> None:
    """All shares with the same number of epochs in all; K = 4."""
    cases = [(name, share) for name in DATASETS for share in SHARES]
    jobs = [(name, share, seed, data_root) for name, share in cases for seed in SEEDS]
    results = run_all(_validate, jobs)
    rows = []
    for case in cases:
        runs = [result for job, result in zip(jobs, results, strict=True) if job[:2] == case]
        values = [run["accuracy"] for run in runs]
        rows.append(
            {
                "dataset": case[0],
                "share": case[1],
                "epochs": runs[0]["epochs"],
                "finetune_epochs": runs[0]["finetune_epochs"],
                "seeds": len(SEEDS),
                "mean": mean(values),
                "stdev": stdev(values),
            }
        )
    write_json(RESULTS, {"versions": versions(), "validation_accuracy": rows})


def _validate(name: str, share: float, seed: int, data_root: str | None) -> dict[str, Any]:
    config = config_of(name, 4, seed)
    total = config.epochs + config.finetune_epochs
    epochs = round(share * total)
    config = replace(config, epochs=epochs, finetune_epochs=total - epochs)
    data = held_out(load_dataset(name, data_root))
    modular = organise_as(config, data).network
    return {
        "epochs": epochs,
        "finetune_epochs": total - epochs,
        "accuracy": accuracy(modular, data.test_x, data.test_y),
    }
