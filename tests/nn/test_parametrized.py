"""Parametrized weights are computed as often as those of a Linear, and in the same precision."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from pyg_modules import Equilibrium, ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from tests.strategies import backends, normal


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, weight):
        self.calls += 1
        return 0.5 * weight


class Product(nn.Module):
    """A product of matrices, which autocast computes in half precision."""

    def __init__(self, size):
        super().__init__()
        self.matrix = normal(size, size).float() / size

    def forward(self, weight):
        return self.matrix @ weight


def counted(solver=None):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, backend="dense")
    counters = {name: Counted() for name in ("weight", "bias")}
    for name, counter in counters.items():
        register_parametrization(layer, name, counter)
        counter.calls = 0
    return layer, counters


@pytest.mark.parametrize("solver", [Unrolled(3), Equilibrium(contraction=0.9)], ids=str)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    "use",
    [
        lambda layer: layer(torch.ones(5, 3)),
        lambda layer: layer.states(torch.ones(5, 3)),
        lambda layer: layer.solve(torch.ones(5, 3)),
        lambda layer: layer.step(torch.ones(5, 9)),
    ],
)
def test_a_call_computes_every_parametrization_once(use, autocast, solver):
    layer, counters = counted(solver)
    with torch.autocast("cpu", enabled=autocast):
        use(layer)
    assert [counter.calls for counter in counters.values()] == [1, 1]


def test_what_needs_no_weights_computes_no_parametrization():
    layer, counters = counted()
    layer.double().backend_report(5)
    layer.load_state_dict(layer.state_dict())
    assert (layer.device, layer.dtype) == (torch.device("cpu"), torch.float64)
    assert [counter.calls for counter in counters.values()] == [0, 0]


@pytest.mark.parametrize("execution", ["batched", "loop"])
def test_the_parts_of_a_graph_compute_every_parametrization_once(execution):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    graph = ModularGraph(split(cut(layer, torch.tensor([-1] * 3 + [0, 0, 1, 1] + [-1] * 2))))
    counters = [Counted() for _ in graph.parts]
    for part, counter in zip(graph.parts, counters, strict=True):
        register_parametrization(part, "weight", counter)
        counter.calls = 0
    graph.execution = execution
    graph.float()
    graph(torch.ones(5, 3))
    assert [counter.calls for counter in counters] == [1, 1]


@pytest.mark.parametrize("backend", [*backends, "auto"])
def test_parametrizations_are_not_rounded_under_autocast(backend):
    layer = SynchronousGraph(
        UnitGraph.complete(3, 4, 2), Equilibrium(contraction=0.9), backend=backend
    )
    graph = ModularGraph(split(cut(layer, torch.tensor([-1] * 3 + [0, 0, 1, 1] + [-1] * 2))))
    for part in (layer, *graph.parts):
        register_parametrization(part, "weight", Product(part.graph.num_edges))
        register_parametrization(part, "bias", Product(len(part.bias)))
    x = normal(5, 3).float()
    plain = layer(x), layer.scaled_weight(), graph(x)
    with torch.autocast("cpu"):
        torch.testing.assert_close((layer(x), layer.scaled_weight(), graph(x)), plain)
