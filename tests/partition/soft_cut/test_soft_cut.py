"""The closed forms of the normalized cut against the composition that defines it."""

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
from pyg_modules.partition.soft_cut import soft_cut as choice
from pyg_modules.partition.soft_cut.compiled_cut import CompiledCut, is_compiled
from pyg_modules.partition.soft_cut.composed_cut import composed_cut
from pyg_modules.partition.soft_cut.dense_cut import DenseCut
from pyg_modules.partition.soft_cut.soft_cut import soft_cut
from pyg_modules.partition.units import PartitionedEdges
from tests.strategies import generator, normal, seeds, unit_graphs

DTYPES = {torch.float32: 2e-5, torch.float64: 1e-12}


def dense_cut(*inputs, fixed_volume):
    with patch.object(choice, "is_compiled", lambda: False):
        return soft_cut(*inputs, fixed_volume=fixed_volume)


CLOSED_FORMS = [soft_cut, dense_cut]
FORMS = [*CLOSED_FORMS, composed_cut]


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
    st.sampled_from(CLOSED_FORMS),
    seeds,
)
def test_the_closed_forms_are_the_composition_with_its_gradients(
    graph, num_modules, fixed_volume, dtype, scale, share_of_zeros, counts_as_large, form, seed
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
        found = value_and_gradients(form, edges, magnitude, assignment, fixed_volume)
    expected = value_and_gradients(
        composed_cut, edges, magnitude.double(), assignment.double(), fixed_volume
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        size = 1 + float(other.abs().sum())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=DTYPES[dtype] * size)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("function", FORMS)
def test_nan_spreads(function, which):
    edges = edges_of(UnitGraph.complete(2, 4, 2))
    inputs = normal(len(edges.source)).abs(), normal(8, 3, seed=1).softmax(dim=1)
    inputs[which][0] = torch.nan
    assert function(edges, *inputs, fixed_volume=True).isnan()


COMPLETE = edges_of(UnitGraph.complete(2, 4, 2))


def complete_inputs(num_modules=3):
    magnitude = normal(len(COMPLETE.source)).abs() + 0.1
    return magnitude.requires_grad_(), normal(8, num_modules, seed=1).requires_grad_()


def cut_of(form, fixed_volume=False):
    return lambda magnitude, logits: form(
        COMPLETE, magnitude, logits.softmax(dim=1), fixed_volume=fixed_volume
    )


@pytest.mark.parametrize(("form", "name"), [(soft_cut, CompiledCut), (dense_cut, DenseCut)])
def test_small_dense_graphs_are_computed_in_closed_form(form, name):
    assert is_compiled()
    loss = form(COMPLETE, *complete_inputs(), fixed_volume=True)
    assert type(loss.grad_fn).__name__ == f"{name.__name__}Backward"


@pytest.mark.parametrize(("dtype", "logit"), [(torch.float32, -95.0), (torch.float64, -730.0)])
@pytest.mark.parametrize("function", FORMS)
def test_a_module_that_is_all_but_empty_leaves_gradients_finite(function, dtype, logit):
    edges = edges_of(UnitGraph.complete(2, 6, 1))
    logits = torch.tensor([1.0, 2.0, logit], dtype=dtype).expand(9, 3)
    magnitude = normal(len(edges.source)).abs().to(dtype)
    found = value_and_gradients(function, edges, magnitude, logits.softmax(dim=1), False)
    assert all(bool(each.isfinite().all()) for each in found)
    assert found[0] > 1 / 3  # It keeps nothing.


@pytest.mark.parametrize("num_modules", [1, 2, 8])
@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_first_and_second_derivatives_are_those_of_finite_differences(form, num_modules):
    inputs, cut = complete_inputs(num_modules), cut_of(form)
    assert gradcheck(cut, inputs, check_batched_grad=True, check_forward_ad=True)
    assert gradgradcheck(cut, inputs, check_batched_grad=True)


@pytest.mark.parametrize("fixed_volume", [False, True])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_one_input_alone_may_have_a_gradient(form, which, fixed_volume):
    inputs = complete_inputs()
    loss = cut_of(form, fixed_volume)(*inputs)
    expected = torch.autograd.grad(loss, inputs)[which]
    alone = list(map(torch.Tensor.detach, inputs))
    alone[which] = inputs[which]
    for create_graph in (False, True):
        loss = cut_of(form, fixed_volume)(*alone)
        (found,) = torch.autograd.grad(loss, inputs[which], create_graph=create_graph)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("fixed_volume", [False, True])
@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_transformations_see_the_same_derivatives(form, fixed_volume):
    inputs, cut = complete_inputs(), cut_of(form, fixed_volume)
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
    cut = cut_of(soft_cut)
    found = torch.func.vmap(cut, in_dims=(None, 0))(magnitude, logits)
    expected = torch.stack([cut(magnitude, one) for one in logits])
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


@pytest.mark.parametrize("function", FORMS)
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
