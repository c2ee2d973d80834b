"""One training of one network."""

from __future__ import annotations

from functools import partial
from time import process_time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.sparsity.rigl import RigL
from benchmarks.accuracy.sparsity.tasks import TASKS, Noisy, Task
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import load_dataset
from pyg_modules.structure import SparseSchedule, rewire
from pyg_modules.train import accuracy, fit, seeded

#: Of the trials, in which a fifth of the training data is left out, and of the runs that count.
TRIAL_SEEDS, SEEDS = range(100, 102), range(1000, 1010)
#: Which part of the training is over when all edges go at once.
AT_ONCE = 2 / 3
#: Whether the graph is sparse at first, and which edges grow.
SCHEDULES: dict[str, tuple[bool, str | None]] = {
    "pruned, grown by gradient": (False, "gradient"),
    "pruned, grown at random": (False, "random"),
    "pruned, grown locally": (False, "local"),
    "pruned": (False, None),
    "sparse, exchanged by gradient": (True, "gradient"),
    "sparse, exchanged at random": (True, "random"),
    "sparse, exchanged locally": (True, "local"),
}


def run(
    name: str, way: str, recipe: int, learning_rate: float, seed: int, epochs: int
) -> dict[str, Any]:
    """Accuracies of one training, and what is left."""
    task = TASKS[name]
    data = load_dataset(task.data)
    data = held_out(data) if seed in TRIAL_SEEDS else data
    settings: Any = dict(task.recipes[recipe], learning_rate=learning_rate)
    noise = settings.pop("noise", 0.0)
    settings |= {"seed": seed, "batch_size": task.batch_size}
    with seeded(seed):
        units = _units(task, way)
        model = nn.Sequential(Noisy(noise), task.front(), units)
    start = process_time()
    if isinstance(units, RigL):
        fit(
            model,
            data,
            epochs=epochs,
            on_epoch=partial(_exchange, units, epochs),
            **settings,
        )
    elif way == "pruned at once":
        before = round(AT_ONCE * epochs)
        fit(model, data, epochs=before, **settings)
        largest = units.weight.detach().abs().topk(task.num_edges).indices.sort().values
        left = units.graph.edge_index[:, largest]
        num_inputs, _, num_outputs = task.sizes
        rewire(units, UnitGraph(left, sum(task.sizes), num_inputs, num_outputs))
        fit(model, data, epochs=epochs - before, **settings)
    else:
        schedule = None
        if way in SCHEDULES:
            schedule = SparseSchedule(
                units, epochs, num_edges=task.num_edges, grow=SCHEDULES[way][1], seed=seed
            )
        fit(model, data, epochs=epochs, schedule=schedule, **settings)
    seconds = process_time() - start
    model.eval()
    with torch.no_grad():
        loss = float(F.cross_entropy(model(data.train_x), data.train_y))
    score = accuracy(model, data.test_x, data.test_y)
    return {
        "num_edges": _num_edges(units),
        "training_loss": loss,
        "val" if seed in TRIAL_SEEDS else "test": score,
        "seconds": seconds,
    }


def _units(task: Task, way: str) -> SynchronousGraph | RigL:
    num_inputs, _, num_outputs = task.sizes
    whole = UnitGraph.complete(*task.sizes)
    if way == "RigL on an MLP":
        # Of two hidden levels, with no more weights than the complete graph has edges.
        width = 1
        while (num_inputs + width + 1 + num_outputs) * (width + 1) <= whole.num_edges:
            width += 1
        return RigL([num_inputs, width, width, num_outputs], task.num_edges)
    graph = whole
    if way.startswith("sparse"):
        graph = UnitGraph.erdos_renyi(*task.sizes, task.density, repair=True)
    return SynchronousGraph(graph, Unrolled(task.steps))


def _exchange(units: RigL, epochs: int, epoch: int, losses: dict[str, float]) -> None:
    del losses
    units.step(epoch, epochs)


def _num_edges(units: SynchronousGraph | RigL) -> int:
    if isinstance(units, SynchronousGraph):
        return units.graph.num_edges
    return sum(int(mask.sum()) for mask in units.buffers())
