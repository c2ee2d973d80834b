"""One training of one network on one task."""

from __future__ import annotations

from time import process_time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.propagation.models import MODELS
from benchmarks.accuracy.propagation.tasks import TASKS, Task
from pyg_modules.train import seeded

LOOK, PATIENCE = 10, 10


def run(task_name: str, name: str, way: int, rate: float, seed: int, epochs: int) -> dict[str, Any]:
    """The accuracies of one training, and what it took."""
    task = TASKS[task_name](seed)
    with seeded(seed):
        model = MODELS[name][way](task)
        begin = process_time()
        found = _train(model, task, rate, epochs)
    count = sum(parameter.numel() for parameter in model.parameters())
    return {**found, "num_parameters": count, "seconds": process_time() - begin}


def _train(model: nn.Module, task: Task, rate: float, epochs: int) -> dict[str, Any]:
    """By full batches; it ends when the nodes to choose by are right, or no more of them get so."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    best: dict[str, Any] = {"val": -1.0}
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
            if best["val"] == 1 or epoch - best["epoch"] >= LOOK * PATIENCE:
                break
    return best


@torch.no_grad()
def _scores(model: nn.Module, task: Task) -> dict[str, float]:
    right = model.eval()(task.x, task.edge_index).argmax(dim=1) == task.y
    return {part: float(right[getattr(task, part)].float().mean()) for part in ("val", "test")}
