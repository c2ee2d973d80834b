"""Networks for the tasks, of about as many weights; every kind has as many recipes to try."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv

from benchmarks.accuracy.propagation.tasks import Task
from pyg_modules import Equilibrium, SynchronousConv, UnitGraph, Unrolled, cut

NUM_HIDDEN = 16
RATES = (1e-2, 3e-3, 1e-3)


class TiedGCN(nn.Module):
    """One ``GCNConv`` again and again, from the identity on: depth without parameters alone."""

    def __init__(self, num_inputs: int, num_outputs: int, steps: int, activation: str) -> None:
        super().__init__()
        self.enter = nn.Linear(num_inputs, NUM_HIDDEN, bias=False)
        self.conv = GCNConv(NUM_HIDDEN, NUM_HIDDEN, bias=False)
        self.read = nn.Linear(NUM_HIDDEN, num_outputs, bias=False)
        self.steps, self.activation = steps, getattr(torch, activation)
        nn.init.eye_(self.conv.lin.weight)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The outputs of all nodes."""
        injected = self.enter(x)
        state = self.activation(injected)
        for _ in range(self.steps):
            state = self.activation(self.conv(state, edge_index) + injected)
        largest = state.abs().amax(dim=1, keepdim=True)
        return self.read(state / largest.clamp(min=torch.finfo(state.dtype).tiny))


def _conv(task: Task, solver: Any, num_modules: int = 1, **options: Any) -> SynchronousConv:
    sizes = task.x.size(1), NUM_HIDDEN, task.num_classes
    layer = SynchronousConv(
        UnitGraph.complete(*sizes), solver=solver, activation="tanh", bias=False, **options
    )
    if num_modules == 1:
        return layer
    labels = torch.full((layer.graph.num_units,), -1)
    labels[task.x.size(1) : -task.num_classes] = torch.arange(NUM_HIDDEN) % num_modules
    return cut(layer, labels)


def _ours(solver: Callable[[Task], Any], num_modules: int = 1) -> list[Callable[[Task], nn.Module]]:
    ways = ({"carry": True, "normalize_states": True}, {"normalize_states": True})
    return [lambda task, way=way: _conv(task, solver(task), num_modules, **way) for way in ways]


def _peer(kind: Any, **options: Any) -> list[Callable[[Task], nn.Module]]:
    def build(task: Task, depth: int) -> nn.Module:
        return kind(task.x.size(1), NUM_HIDDEN, depth, task.num_classes, **options)

    # As deep as the class is far, or as many as are usual.
    return [
        lambda task: build(task, min(16, task.reach + 1)),
        lambda task: build(task, 4),
    ]


def _equilibrium(_: Task) -> Equilibrium:
    return Equilibrium(contraction=0.95, tol=1e-3, max_steps=1000)


def _unrolled(task: Task) -> Unrolled:
    return Unrolled(2 * task.reach + 2)


#: By name, two ways to build a network for a task; each is tried with every rate.
MODELS: dict[str, list[Callable[[Task], nn.Module]]] = {
    "SynchronousConv, equilibrium": _ours(_equilibrium),
    "SynchronousConv, unrolled": _ours(_unrolled),
    "SynchronousConv, 4 modules, equilibrium": _ours(_equilibrium, 4),
    "SynchronousConv, 4 modules, unrolled": _ours(_unrolled, 4),
    "tied GCN": [
        lambda task, name=name: TiedGCN(task.x.size(1), task.num_classes, 2 * task.reach + 2, name)
        for name in ("tanh", "relu")
    ],
    "GCN": _peer(GCN),
    "GIN": _peer(GIN),
    "GAT": _peer(GAT, heads=1),
}


def recipes(name: str) -> list[tuple[int, float]]:
    """The ways to build a kind and the rates to train it with, which are tried."""
    return list(product(range(len(MODELS[name])), RATES))
