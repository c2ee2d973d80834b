"""Networks for the tasks, of about as many weights; every kind has as many recipes to try."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv

from benchmarks.accuracy.propagation.tasks import Task
from pyg_modules import Equilibrium, SynchronousConv, UnitGraph, Unrolled, cut

NUM_HIDDEN = 16
#: By the first word of a task.
RATES = {"chains": (1e-2, 3e-3, 1e-3), "trees": (3e-2, 1e-2, 3e-3), "rings": (3e-2, 1e-2, 3e-3)}

Build = Callable[[Task], nn.Module]


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
        outputs: Tensor = self.read(state / largest.clamp(min=torch.finfo(state.dtype).tiny))
        return outputs


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


def _ours(solver: Callable[[Task], Any], num_modules: int = 1) -> list[Build]:
    ways = ({"carry": True, "normalize_states": True}, {"normalize_states": True})

    def build(way: dict[str, bool], task: Task) -> nn.Module:
        return _conv(task, solver(task), num_modules, **way)

    return [partial(build, way) for way in ways]


def _tied() -> list[Build]:
    def build(activation: str, task: Task) -> nn.Module:
        return TiedGCN(task.x.size(1), task.num_classes, 2 * task.reach + 2, activation)

    return [partial(build, activation) for activation in ("tanh", "relu")]


def _peer(kind: Any, **options: Any) -> list[Build]:
    def build(depth: int | None, task: Task) -> nn.Module:
        # As deep as the class is far, or as many levels as are usual.
        levels = min(16, task.reach + 1) if depth is None else depth
        peer: nn.Module = kind(task.x.size(1), NUM_HIDDEN, levels, task.num_classes, **options)
        return peer

    return [partial(build, depth) for depth in (None, 4)]


def _equilibrium(_: Task) -> Equilibrium:
    return Equilibrium(contraction=0.95, tol=1e-3, max_steps=1000)


def _unrolled(task: Task) -> Unrolled:
    return Unrolled(2 * task.reach + 2)


#: By name, two ways to build a network for a task; each is tried with every rate.
MODELS: dict[str, list[Build]] = {
    "SynchronousConv, equilibrium": _ours(_equilibrium),
    "SynchronousConv, unrolled": _ours(_unrolled),
    "SynchronousConv, 4 modules, equilibrium": _ours(_equilibrium, 4),
    "SynchronousConv, 4 modules, unrolled": _ours(_unrolled, 4),
    "tied GCN": _tied(),
    "GCN": _peer(GCN),
    "GIN": _peer(GIN),
    "GAT": _peer(GAT, heads=1),
}


def recipes(task: str, name: str) -> list[tuple[int, float]]:
    """The ways to build a kind and the rates to train it with, which are tried on a task."""
    return list(product(range(len(MODELS[name])), RATES[task.split()[0]]))
