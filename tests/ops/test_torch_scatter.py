"""What is computed with torch-scatter, which takes minutes to compile, and here with a stand-in.

``make test-scatter`` tests with the package itself.
"""

from types import SimpleNamespace

import pytest
import torch
import torch_geometric.typing

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from tests.dense_graph import DenseGraph
from tests.strategies import generator, normal


@pytest.fixture
def calls(monkeypatch):
    """The sizes of what the stand-in has summed."""
    summed = []

    def segment_csr(messages, offsets):
        summed.append(list(messages.shape))
        # As the package's own: no derivatives of its derivatives.
        detached = messages.detach()
        rows = [detached[first:last].sum(dim=0) for first, last in offsets.unfold(0, 2, 1).tolist()]
        return torch.stack(rows)

    package = SimpleNamespace(segment_csr=segment_csr)
    monkeypatch.setattr(torch_geometric.typing, "torch_scatter", package, raising=False)
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", True)
    return summed


def layer():
    graph = UnitGraph.erdos_renyi(3, 9, 2, 0.4, generator=generator(0), repair=True)
    options = {"dtype": torch.float64, "generator": generator(1), "backend": "scatter"}
    return SynchronousGraph(graph, Unrolled(3), "tanh", **options)


def test_its_sums_are_those_of_the_definition_with_all_gradients(calls):
    network = layer()
    x, dense = normal(5, 3).requires_grad_(), DenseGraph(network)
    outputs = [model(x) for model in (network, dense)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(out.square().sum(), (x, model.weight, model.bias))
        for out, model in zip(outputs, (network, dense), strict=True)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert calls


def test_its_sums_have_second_derivatives(calls):
    network = layer()
    operator = network._operators("scatter", 5).recurrence
    weight = normal(operator.index[0].numel()).requires_grad_()
    state = normal(operator.num_sources, 4, seed=2).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda weight, state: operator.compose(weight)(state), (weight, state)
    )
    assert calls
