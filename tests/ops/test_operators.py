from unittest.mock import patch

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_modules.ops import BACKENDS, EdgeSet, SparseOperator, bind, few_columns
from pyg_modules.ops.packing import Packing
from tests.strategies import backends, generator, normal, seeds, unit_graphs


def dense_reference(block, weight):
    matrix = torch.zeros(block.num_targets, block.num_sources, dtype=weight.dtype)
    for value, source, target in zip(weight, block.source, block.target, strict=True):
        matrix[target, source] += value
    return matrix


def problem(name, graph, seed):
    """The edges among the hidden units, or into them from all: a square block or not."""
    sources = graph.hidden if name == "block" else range(graph.num_units)
    block = EdgeSet.between(graph.edge_index, sources, graph.hidden)
    return block, torch.randn(block.num_edges, dtype=torch.float64, generator=generator(seed))


@pytest.mark.parametrize("name", backends)
@given(graph=unit_graphs(), batch=st.integers(0, 3), seed=seeds)
def test_backends_equal_a_dense_matrix(name, graph, batch, seed):
    block, weight = problem(name, graph, seed)
    state = normal(block.num_sources, batch, seed=seed)
    result = bind(BACKENDS[name].build(block), weight)(state)
    torch.testing.assert_close(result, dense_reference(block, weight) @ state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", backends)
@given(graph=unit_graphs(min_hidden=1), seed=seeds)
def test_gradients_are_those_of_finite_differences(name, graph, seed):
    block, weight = problem(name, graph, seed)
    state = normal(block.num_sources, 2, seed=seed).requires_grad_()
    operator = BACKENDS[name].build(block)
    assert gradcheck(lambda w, h: bind(operator, w)(h), (weight.requires_grad_(), state))


@pytest.mark.parametrize("name", backends)
@given(
    graph=unit_graphs(min_hidden=1),
    batch=st.integers(1, 20),
    counts_as_large=st.booleans(),
    seed=seeds,
)
def test_gradients_are_those_of_a_dense_matrix_for_any_batch(
    name, graph, batch, counts_as_large, seed
):
    block, weight = problem(name, graph, seed)
    state = normal(block.num_sources, batch, seed=seed).requires_grad_()
    grad, inputs = normal(block.num_targets, batch, seed=seed + 1), (weight.requires_grad_(), state)
    sums = bind(BACKENDS[name].build(block), weight)(state)
    with patch.object(few_columns, "_CELLS_OF_LARGE", 0 if counts_as_large else 2**16):
        found = torch.autograd.grad(sums, inputs, grad, materialize_grads=True)
    sums = dense_reference(block, weight) @ state
    expected = torch.autograd.grad(sums, inputs, grad, materialize_grads=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", backends)
@given(graph=unit_graphs(), seed=seeds)
def test_an_operator_is_its_index_and_its_sizes(name, graph, seed):
    block, weight = problem(name, graph, seed)
    state = normal(block.num_sources, 2, seed=seed)
    operator = BACKENDS[name].build(block)
    again = BACKENDS[name](list(operator.index), list(operator.sizes))
    assert torch.equal(bind(operator, weight)(state), bind(again, weight)(state))


@pytest.mark.parametrize("name", backends)
def test_one_binding_serves_many_states_and_collects_all_gradients(name):
    edge_index = torch.tensor([[0, 1, 1], [1, 0, 1]])
    block = EdgeSet.between(edge_index, range(2), range(2))
    weight = normal(3).requires_grad_()
    weighted_sum = bind(BACKENDS[name].build(block), weight)
    result = expected = normal(2, 4, seed=1)
    matrix = torch.zeros(2, 2, dtype=torch.float64)
    matrix = matrix.index_put((block.target, block.source), weight)
    for _ in range(3):
        result, expected = weighted_sum(result), matrix @ expected
    gradients = [torch.autograd.grad(h.square().sum(), weight)[0] for h in (result, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_blocks_are_as_many_and_as_wide_as_the_components_need():
    # Units 0-2 form a path, 3 and 4 a pair, 5 is alone: matrices of width 3 hold 3 and 2 + 1.
    edge_index = torch.tensor([[0, 2, 4, 4], [1, 1, 3, 4]])
    block = EdgeSet.between(edge_index, range(6), range(6))
    assert Packing.of(block.components).batches == [(2, 3)]
    # Interleaved modules of equal size.
    edge_index = torch.tensor([[0, 1, 2, 3], [2, 3, 0, 1]])
    block = EdgeSet.between(edge_index, range(4), range(4))
    operator = BACKENDS["block"].build(block)
    assert Packing.of(block.components).batches == [(2, 2)]
    state = normal(4, 3)
    assert torch.equal(operator.leave(operator.enter(state)), state)
    assert torch.equal(operator.enter(state), state[[0, 2, 1, 3]])


def test_blocks_of_very_different_sizes_are_batches_of_their_own():
    sizes = [90, 300, 300, 100, 3, 1]
    components = numpy.repeat(numpy.arange(6), sizes)
    components = components[numpy.random.default_rng(0).permutation(components.size)]
    packing = Packing.of(components)
    assert packing.batches == [(2, 300), (2, 100), (2, 3)]
    assert (packing.num_rows, packing.num_cells) == (806, 200_018)
    # No two units have the same row, and the units of a set have the columns of one matrix.
    assert len(set(packing.row.tolist())) == components.size
    for component in range(6):
        inside = components == component
        assert (numpy.diff(packing.row[inside]) == 1).all()
        assert (numpy.diff(packing.column[inside]) == 1).all()
        width = {300: 300, 100: 100, 90: 100, 3: 3, 1: 3}[sizes[component]]
        matrix = (packing.first_cell - width * packing.column)[inside]
        assert len(set(matrix.tolist())) == 1


@given(st.lists(st.integers(1, 200), max_size=12), seeds)
def test_batches_cost_no_more_than_a_single_one(sizes, seed):
    components = numpy.repeat(numpy.arange(len(sizes)), sizes)
    components = components[numpy.random.default_rng(seed).permutation(components.size)]
    packing = Packing.of(components)
    if sizes:
        assert packing.num_cells <= len(sizes) * max(sizes) ** 2 + 5000
    cells = packing.first_cell + packing.column
    assert len(set(packing.row.tolist())) == len(set(cells.tolist())) == components.size
    assert (cells < packing.num_cells).all()


def test_blocks_need_sources_and_targets_to_be_the_same_units():
    block = EdgeSet.between(torch.tensor([[0], [1]]), range(1), range(1, 3))
    with pytest.raises(ValueError, match="1 sources and 2 targets"):
        BACKENDS["block"].build(block)


@pytest.mark.parametrize("name", backends)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_value_that_is_not_a_number_spreads_to_its_targets_alone(name, dtype):
    block = EdgeSet.between(torch.tensor([[0, 1], [1, 0]]), range(3), range(3))
    operator, weight = BACKENDS[name].build(block), torch.ones(2, dtype=dtype)
    state = torch.zeros(3, 1, dtype=dtype)
    state[1] = torch.nan
    result = bind(operator, weight)(state)
    if name not in ("dense", "block"):  # There 0 * NaN is NaN, as in a Linear.
        assert result.isnan().view(-1).tolist() == [True, False, False]
    assert result[0].isnan()


def test_opcheck_of_the_registered_operator():
    block = EdgeSet.between(torch.tensor([[0, 1, 1], [1, 0, 1]]), range(2), range(2))
    operator = SparseOperator.build(block)
    weight, state = normal(3).requires_grad_(), normal(2, 4).requires_grad_()
    torch.library.opcheck(
        torch.ops.pyg_modules.edge_sum.default,
        (weight, state, list(operator.index), list(operator.sizes), "sparse", "", [0], [0.0]),
    )
