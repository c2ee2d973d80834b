import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_modules.ops import BACKENDS, EdgeBlock, ScatterOperator, SparseOperator
from tests.strategies import generator, normal, seeds, unit_graphs


def dense_reference(block, weight, state):
    matrix = torch.zeros(block.num_targets, block.num_sources, dtype=weight.dtype)
    for edge, source, target in zip(block.edge_ids, block.source, block.target, strict=True):
        matrix[target, source] += weight[edge]
    return matrix @ state


@pytest.mark.parametrize("name", BACKENDS)
@given(graph=unit_graphs(), batch=st.integers(0, 3), seed=seeds)
def test_backends_equal_a_dense_matrix(name, graph, batch, seed):
    block = EdgeBlock.between(graph.edge_index, range(graph.num_units), graph.hidden)
    rand = generator(seed)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=rand)
    state = torch.randn(graph.num_units, batch, dtype=torch.float64, generator=rand)
    result = BACKENDS[name](block).bind(weight)(state)
    torch.testing.assert_close(result, dense_reference(block, weight, state), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BACKENDS)
@given(graph=unit_graphs(), seed=seeds)
def test_gradients_are_those_of_finite_differences(name, graph, seed):
    block = EdgeBlock.between(graph.edge_index, range(graph.num_units), graph.hidden)
    rand = generator(seed)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=rand).requires_grad_()
    state = torch.randn(graph.num_units, 2, dtype=torch.float64, generator=rand).requires_grad_()
    operator = BACKENDS[name](block)
    if graph.num_hidden:
        assert gradcheck(lambda w, h: operator.bind(w)(h), (weight, state))


def test_one_binding_serves_many_states_and_collects_all_gradients():
    edge_index = torch.tensor([[0, 1, 1], [1, 0, 1]])
    block = EdgeBlock.between(edge_index, range(2), range(2))
    gradients = []
    for operator in (SparseOperator(block), ScatterOperator(block)):
        weight = normal(3).requires_grad_()
        weighted_sum = operator.bind(weight)
        state = normal(2, 4, seed=1)
        for _ in range(3):
            state = weighted_sum(state)
        gradients.append(torch.autograd.grad(state.square().sum(), weight)[0])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_second_derivatives_are_an_error_in_sparse_and_right_in_scatter():
    block = EdgeBlock.between(torch.tensor([[0], [1]]), range(1), range(1, 2))
    weight = torch.full((1,), 3.0, dtype=torch.float64, requires_grad=True)
    state = torch.full((1, 1), 2.0, dtype=torch.float64, requires_grad=True)
    result = SparseOperator(block).bind(weight)(state)
    with pytest.raises(RuntimeError, match=r"no second derivatives.*backend='scatter'"):
        torch.autograd.grad(result.sum(), state, create_graph=True)
    # d/dw of d/dh (w h)^2 = 2 w^2 h is 4 w h.
    result = ScatterOperator(block).bind(weight)(state)
    (first,) = torch.autograd.grad(result.square().sum(), state, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    assert second.item() == 4 * 3 * 2
