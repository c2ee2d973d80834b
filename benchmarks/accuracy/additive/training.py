"""One training of one network on one task."""

from __future__ import annotations

from time import process_time
from typing import Any

import torch

from benchmarks.accuracy.additive.tasks import TASKS
from benchmarks.accuracy.kinds import epochs_of, new_layer, options_of, train
from pyg_modules.experiment.baselines import num_parameters

NUM_HIDDEN = 32


def run(task_name: str, kind: str, way: int, rate: float, seed: int, steps: int) -> dict[str, Any]:
    """The score of one training, what modules it found, and what it took."""
    task, begin = TASKS[task_name](seed), process_time()
    epochs = epochs_of(steps, len(task.train_x))
    options = {**options_of(way, rate, seed), "loss": task.loss}
    layer = new_layer(task.owners, NUM_HIDDEN, seed, is_whole=kind == "whole")
    data = task.train_x, task.train_y
    layer, found = train(kind, layer, data, task.owners, epochs, options)
    with torch.no_grad():
        score = task.score(layer(task.test_x))
    return {
        "val": score,
        "test": score,
        **found,
        "num_parameters": num_parameters(layer),
        "seconds": process_time() - begin,
    }
