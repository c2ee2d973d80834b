import sys
from unittest.mock import patch

import pytest
import torch
from hypothesis import given

from pyg_modules.ops import BACKENDS, EdgeSet, spectral_norm
from tests.looks import Looks
from tests.strategies import backends, generator, normal, seeds, unit_graphs

# The package has the function under the name of its module.
norms = sys.modules["pyg_modules.ops.spectral_norm"]


@pytest.mark.parametrize("name", backends)
@given(graph=unit_graphs(min_hidden=1, feedback=False), seed=seeds)
def test_it_is_the_largest_singular_value_with_its_gradient(name, graph, seed):
    block = EdgeSet.between(graph.edge_index, graph.hidden, graph.hidden)
    weight = normal(block.num_edges, seed=seed).requires_grad_()
    matrix = weight.new_zeros(block.num_targets, block.num_sources)
    matrix = matrix.index_put((block.target, block.source), weight)
    norm = spectral_norm(BACKENDS[name].build(block), weight)
    values = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(norm, values[0], rtol=1e-10, atol=1e-10)
    if block.num_edges and (len(values) == 1 or values[0] - values[1] > 1e-3):
        (gradient,) = torch.autograd.grad(norm, weight)
        (expected,) = torch.autograd.grad(values[0], weight)
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_within_half_a_percent_for_large_random_matrices(seed):
    # The singular values of a random matrix crowd together at the largest one.
    block = EdgeSet.between(torch.cartesian_prod(*2 * [torch.arange(300)]).T, *2 * [range(300)])
    weight = torch.randn(90_000, generator=generator(seed), dtype=torch.float64)
    exact = torch.linalg.matrix_norm(weight.view(300, 300), 2)
    norm = spectral_norm(BACKENDS["dense"].build(block), weight)
    assert 0.995 * exact < norm <= exact * (1 + 1e-12)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float64, 1e200),
        (torch.float32, 1e-35),
        (torch.float32, 1e12),
        (torch.float32, 1e30),
        (torch.bfloat16, 1e30),
        (torch.float16, 1e3),
    ],
)
def test_it_is_that_of_large_and_small_weights_too(dtype, scale):
    block = EdgeSet.between(torch.cartesian_prod(*2 * [torch.arange(20)]).T, *2 * [range(20)])
    weight = (scale * normal(400)).to(dtype)
    exact = torch.linalg.matrix_norm(weight.double().view(20, 20) / scale, 2)
    norm = spectral_norm(BACKENDS["scatter"].build(block), weight)
    assert norm.dtype == dtype
    # The steps are rounded as often, in single precision at least, and processors sum differently.
    inside = torch.finfo(torch.promote_types(dtype, torch.float32)).eps
    rtol = 4 * torch.finfo(dtype).eps + 16 * inside
    torch.testing.assert_close(norm.double() / scale, exact, rtol=rtol, atol=0)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_that_of_weights_that_diverged_is_no_number_and_no_error(value, free):
    block = EdgeSet.between(torch.cartesian_prod(*2 * [torch.arange(5)]).T, *2 * [range(5)])
    weight = normal(25).index_fill(0, torch.tensor([7]), value)
    with patch.object(norms, "looks_are_free", lambda _: free):
        norm = spectral_norm(BACKENDS["dense"].build(block), weight)
    assert not bool(norm.isfinite())


@given(graph=unit_graphs(min_hidden=1, feedback=False), seed=seeds)
def test_where_looks_cost_the_same_norm_is_found_with_one_at_most(graph, seed):
    # Of few units, or of some without edges, spaces are exhausted early.
    block = EdgeSet.between(graph.edge_index, graph.hidden, graph.hidden)
    operator = BACKENDS["dense"].build(block)
    weight = normal(block.num_edges, seed=seed).requires_grad_()
    expected = spectral_norm(operator, weight)
    with patch.object(norms, "looks_are_free", lambda _: False), Looks() as looks:
        found = spectral_norm(operator, weight)
    assert looks.count <= 1
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    if block.num_edges:
        gradients = [torch.autograd.grad(norm, weight)[0] for norm in (found, expected)]
        torch.testing.assert_close(gradients[0].norm(), gradients[1].norm())
