"""One training of one network on one task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.propagation.models import MODELS
from benchmarks.accuracy.propagation.tasks import TASKS, Task
from pyg_modules.train import seeded

LOOK = 10
#: Which part of the epochs may pass without more nodes to choose by right, before a new start.
PATIENCE = 0.2


def run(task_name: str, name: str, way: int, rate: float, seed: int, epochs: int) -> dict[str, Any]:
    """The accuracies of one training, and what it took."""
    task, begin = TASKS[task_name](seed), process_time()
    with seeded(seed):
        found = _train(partial(MODELS[name][way], task), task, rate, epochs)
    # Fewer starts are better where accuracies are equal.
    found["val"] -= (found["starts"] - 1) / 1000
    return {**found, "seconds": process_time() - begin}


def _train(make: Callable[[], nn.Module], task: Task, rate: float, epochs: int) -> dict[str, Any]:
    """By full batches, until the nodes to choose by are right, with new starts on the way.

    Whoever gets no more of them right for long starts again with other parameters, and with what
    is left of the epochs. What counts is the best of all starts.
    """
    best: dict[str, Any] = {"val": -1.0}
    left, starts = epochs, 0
    while left > 0 and best["val"] < 1:
        starts += 1
        model = make()
        found = _train_once(model, task, rate, left, patience=PATIENCE * epochs)
        left -= found["until"]
        best = max(best, found | {"starts": starts}, key=lambda one: float(one["val"]))
    count = sum(parameter.numel() for parameter in model.parameters())
    return best | {"num_parameters": count}


def _train_once(
    model: nn.Module, task: Task, rate: float, epochs: int, *, patience: float
) -> dict[str, Any]:
    optimizer = torch.optim.Adam(model.parameters(), rate)
    best: dict[str, Any] = {"val": -1.0, "epoch": 0}
    for epoch in range(1, epochs + 1):
        model.train()
        optimizer.zero_grad()
        outputs = model(task.x, task.edge_index)
        loss = F.cross_entropy(outputs[task.train], task.y[task.train])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if epoch % LOOK == 0:
            scores = _scores(model, task)
            if scores["val"] > best["val"]:
                best = {**scores, "epoch": epoch}
            if best["val"] == 1 or epoch - best["epoch"] >= patience:
                break
    return best | {"until": epoch}


@torch.no_grad()
def _scores(model: nn.Module, task: Task) -> dict[str, float]:
    right = model.eval()(task.x, task.edge_index).argmax(dim=1) == task.y
    return {part: float(right[getattr(task, part)].float().mean()) for part in ("val", "test")}
