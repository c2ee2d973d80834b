"""The closed form of the normalized cut against the composition that defines it."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.functional import hessian, jacobian

from pyg_modules import PartitionRegularizer, SynchronousGraph, UnitGraph
from pyg_modules.ops import few_columns
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.partition.soft_cut import composed_cut, soft_cut
from pyg_modules.partition.units import PartitionedEdges
from tests.strategies import generator, normal, seeds, unit_graphs

DTYPES = {torch.float32: 2e-5, torch.float64: 1e-12}


def edges_of(graph):
    edges = EdgeSet.among(graph.edge_index, torch.ones(graph.num_units, dtype=torch.bool))
    return PartitionedEdges(edges.edge_ids, edges.source, edges.target, DenseOperator.build(edges))


def value_and_gradients(function, edges, magnitude, assignment, fixed_volume):
    inputs = [of.clone().requires_grad_() for of in (magnitude, assignment)]
    loss = function(edges, *inputs, fixed_volume=fixed_volume)
    return loss.detach(), *torch.autograd.grad(loss, inputs)


@given(
    unit_graphs(min_hidden=2),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(list(DTYPES)),
    # Undecided, decided, and hard.
    st.sampled_from([0.1, 3.0, 1e4]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
    seeds,
)
def test_the_closed_form_is_the_composition_with_its_gradients(
    graph, num_modules, fixed_volume, dtype, scale, share_of_zeros, counts_as_large, seed
):
    rand = generator(seed)
    logits = scale * torch.randn(graph.num_units, num_modules, generator=rand, dtype=dtype)
    assignment = logits.softmax(dim=1)
    assignment[assignment < 0.01] = 0  # Shares that only doubles tell from 0 are another problem.
    magnitude = torch.randn(graph.num_edges, generator=rand, dtype=dtype).abs() + 0.1
    # Units, and with them modules, without volume.
    is_zero = torch.rand(graph.num_units, generator=rand) < share_of_zeros
    edges = edges_of(graph)
    magnitude[is_zero[edges.source] | is_zero[edges.target]] = 0
    with patch.object(few_columns, "_CELLS_OF_LARGE", 0 if counts_as_large else 2**16):
        found = value_and_gradients(soft_cut, edges, magnitude, assignment, fixed_volume)
    expected = value_and_gradients(
        composed_cut, edges, magnitude.double(), assignment.double(), fixed_volume
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        size = 1 + float(other.abs().sum())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=DTYPES[dtype] * size)


COMPLETE = edges_of(UnitGraph.complete(2, 4, 2))


def complete_inputs(num_modules=3):
    magnitude = normal(len(COMPLETE.source)).abs() + 0.1
    return magnitude.requires_grad_(), normal(8, num_modules, seed=1).requires_grad_()


def cut_of(fixed_volume=False):
    return lambda magnitude, logits: soft_cut(
        COMPLETE, magnitude, logits.softmax(dim=1), fixed_volume=fixed_volume
    )


@pytest.mark.parametrize(("dtype", "logit"), [(torch.float32, -95.0), (torch.float64, -730.0)])
@pytest.mark.parametrize("function", [soft_cut, composed_cut])
def test_a_module_that_is_all_but_empty_leaves_gradients_finite(function, dtype, logit):
    edges = edges_of(UnitGraph.complete(2, 6, 1))
    logits = torch.tensor([1.0, 2.0, logit], dtype=dtype).expand(9, 3)
    magnitude = normal(len(edges.source)).abs().to(dtype)
    found = value_and_gradients(function, edges, magnitude, logits.softmax(dim=1), False)
    assert all(bool(each.isfinite().all()) for each in found)
    assert found[0] > 1 / 3  # It keeps nothing.


@pytest.mark.parametrize("num_modules", [1, 2, 8])
def test_first_and_second_derivatives_are_those_of_finite_differences(num_modules):
    inputs = complete_inputs(num_modules)
    assert gradcheck(cut_of(), inputs, check_batched_grad=True, check_forward_ad=True)
    assert gradgradcheck(cut_of(), inputs, check_batched_grad=True)


@pytest.mark.parametrize("fixed_volume", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_one_input_alone_may_have_a_gradient(which, fixed_volume):
    inputs = complete_inputs()
    loss = cut_of(fixed_volume)(*inputs)
    expected = torch.autograd.grad(loss, inputs)[which]
    alone = list(map(torch.Tensor.detach, inputs))
    alone[which] = inputs[which]
    for create_graph in (False, True):
        loss = cut_of(fixed_volume)(*alone)
        (found,) = torch.autograd.grad(loss, inputs[which], create_graph=create_graph)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("fixed_volume", [False, True])
def test_transformations_see_the_same_derivatives(fixed_volume):
    inputs, cut = complete_inputs(), cut_of(fixed_volume)
    expected = torch.autograd.grad(cut(*inputs), inputs)
    for found in (
        jacobian(cut, inputs, vectorize=True),
        jacobian(cut, inputs, create_graph=True),
        torch.func.grad(cut, argnums=(0, 1))(*inputs),
        torch.func.jacfwd(cut, argnums=(0, 1))(*inputs),
    ):
        torch.testing.assert_close(tuple(found), expected)
    of_magnitude = hessian(cut, inputs)
    torch.testing.assert_close(hessian(cut, inputs, vectorize=True), of_magnitude)


def test_a_batch_of_assignments_has_a_loss_each():
    magnitude, _ = complete_inputs()
    logits = normal(5, 8, 3)
    found = torch.func.vmap(cut_of(), in_dims=(None, 0))(magnitude, logits)
    expected = torch.stack([cut_of()(magnitude, one) for one in logits])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
def test_autocast_around_either_pass_changes_nothing(scope):
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    layer.reset_parameters(generator(0))
    regularizer = PartitionRegularizer(layer, 2, balance=0.0, scope=scope, generator=generator(1))
    parameters = [layer.weight, regularizer.logits]
    expected = torch.autograd.grad(regularizer(), parameters)
    with torch.autocast("cpu"):
        loss = regularizer.losses()["ncut"]
        found = torch.autograd.grad(loss, parameters)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, regularizer())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("function", [soft_cut, composed_cut])
def test_rounding_leaves_no_cut_of_less_than_0_and_its_gradient(function):
    inside = torch.block_diag(*[torch.ones(9, 9)] * 3).nonzero().T
    edges, values = edges_of(UnitGraph(inside, 27, 0, 0)), []
    assignment = torch.eye(3).repeat_interleave(9, dim=0)
    for seed in range(30):
        magnitude = torch.rand(inside.size(1), generator=generator(seed))
        found = value_and_gradients(function, edges, magnitude, assignment, True)
        exact = value_and_gradients(
            composed_cut, edges, magnitude.double(), assignment.double(), True
        )
        values.append(float(found[0]))
        for one, other in zip(found[1:], exact[1:], strict=True):
            torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5)
    assert min(values) == 0
    assert max(values) < 1e-6
