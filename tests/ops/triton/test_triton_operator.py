import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_modules.ops import ACTIVATIONS, EdgeSet, RowActivation, TritonOperator, bind
from pyg_modules.ops.triton import segments
from tests.ops.triton.cases import (
    assert_close,
    assert_solved,
    double,
    edges_between,
    matrix_of,
    numbers,
)
from tests.strategies import generator, seeds

# All activations in float32; in half precision one that needs states, and one that needs sums.
ACTIVATIONS_BY_DTYPE = [(name, torch.float32) for name in ACTIVATIONS] + [
    (name, dtype) for name in ("tanh", "silu") for dtype in (torch.bfloat16, torch.float16)
]


@pytest.fixture
def short(monkeypatch):
    """Rows of more than four edges are long ones."""
    monkeypatch.setattr(segments, "_LENGTH", 4)


def chosen(num_targets, num_sources, density, seed=0):
    return torch.rand(num_targets, num_sources, generator=generator(seed)) < density


def built(edges, device):
    return TritonOperator.build(edges).to(device)


@pytest.mark.parametrize(("activation", "dtype"), ACTIVATIONS_BY_DTYPE, ids=str)
def test_updates_and_gradients_are_those_of_a_dense_matrix(activation, dtype, device):
    mask = chosen(5, 5, 0.4)
    mask[2] = False  # A unit without sources, one that all read, and one that reads all.
    mask[:, 1] = mask[3] = True
    edges = edges_between(mask)
    weight = numbers(edges.num_edges, seed=1, device=device, dtype=dtype)
    injected = numbers(5, 3, seed=2, device=device, dtype=dtype)
    assert_solved(built(edges, device), edges, activation, weight, injected, num_activated=4)


@given(
    num_units=st.integers(0, 5),
    batch=st.sampled_from([0, 1, 3, 33]),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    steps=st.integers(1, 4),
    checkpoint=st.booleans(),
    seed=seeds,
)
@settings(max_examples=15)
def test_it_solves_any_graph_and_any_batch(
    num_units, batch, density, steps, checkpoint, seed, device
):
    edges = edges_between(chosen(num_units, num_units, density, seed))
    weight = numbers(edges.num_edges, seed=seed, device=device, dtype=torch.float32)
    injected = numbers(num_units, batch, seed=seed + 1, device=device, dtype=torch.float32)
    arguments = built(edges, device), edges, "tanh", weight, injected
    assert_solved(*arguments, steps=steps, checkpoint=checkpoint)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_long_rows_and_columns_are_computed_in_parts(activation, device):
    mask = chosen(11, 11, 0.1)
    mask[3] = mask[:, 6] = True  # Three parts each.
    edges = edges_between(mask)
    operator = built(edges, device)
    assert operator.sizes == (11, 11, 3, 3)
    weight = numbers(edges.num_edges, seed=1, device=device, dtype=torch.float32)
    injected = numbers(11, 3, seed=2, device=device, dtype=torch.float32)
    assert_solved(operator, edges, activation, weight, injected, num_activated=9, steps=2)


def test_a_batch_of_many_blocks_has_one_gradient(device):
    # Of few units, blocks have 32 samples: ten of them, of which eight are held at a time.
    edges = edges_between(chosen(2, 2, 1.0))
    weight = numbers(4, seed=1, device=device, dtype=torch.float32)
    injected = numbers(2, 300, seed=2, device=device, dtype=torch.float32)
    assert_solved(built(edges, device), edges, "tanh", weight, injected)


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    batch=st.integers(0, 3),
    seed=seeds,
)
@settings(max_examples=8)
def test_linear_maps_between_other_units_have_their_gradients(shape, batch, seed, device):
    edges = edges_between(chosen(*shape, 0.5, seed))
    weight = numbers(edges.num_edges, seed=seed, device=device, dtype=torch.float32)
    transposed = numbers(batch, shape[1], seed=seed + 1, device=device, dtype=torch.float32)
    state = transposed.T  # It need not be contiguous.
    found = bind(built(edges, device), weight)(state)
    leaves = double(weight), double(state)
    expected = matrix_of(edges, leaves[0]) @ leaves[1]
    assert_close(found, expected, 1e-6)
    gradients = torch.autograd.grad(found.square().sum(), (weight, state))
    references = torch.autograd.grad(expected.square().sum(), leaves)
    for gradient, reference in zip(gradients, references, strict=True):
        assert_close(gradient, reference, 1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_accurate_everywhere(activation, device):
    num_rows = 2
    edges = edges_between(torch.zeros(num_rows, num_rows, dtype=torch.bool))
    operator, f = built(edges, device), RowActivation(ACTIVATIONS[activation], num_rows)
    sums = torch.cat([torch.linspace(-30, 30, 200), torch.logspace(-12, 0, 24)])
    sums = torch.cat([sums, -sums]).view(num_rows, -1).to(device)
    nothing, out = sums.new_empty(0), torch.empty_like(sums)
    states = operator.update(nothing, torch.zeros_like(sums), sums, f, out)
    exact = sums.double().requires_grad_()
    expected = ACTIVATIONS[activation].function(exact)
    # What erf and exp round is relative to 1 in gelu's factor.
    atol = 2e-6 if activation == "gelu" else 1e-12
    torch.testing.assert_close(states.double(), expected, rtol=2e-6, atol=atol)
    slopes = torch.empty_like(sums)
    operator.adjoint(nothing, torch.zeros_like(sums), out, f, slopes, add=torch.ones_like(sums))
    (expected,) = torch.autograd.grad(expected.sum(), exact)
    if activation != "relu":
        torch.testing.assert_close(slopes.double(), expected, rtol=2e-6, atol=1e-6)
    else:
        assert torch.equal(slopes.double(), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_spreads_to_its_targets_alone(activation, device):
    edges = EdgeSet.between(torch.tensor([[0, 1], [1, 0]]), range(3), range(3))
    operator, f = built(edges, device), RowActivation(ACTIVATIONS[activation], 3)
    state = torch.zeros(3, 1, device=device)
    state[1] = torch.nan
    out = torch.empty_like(state)
    states = operator.update(torch.ones(2, device=device), state, torch.zeros_like(out), f, out)
    assert states.isnan().view(-1).tolist() == [True, False, False]


@pytest.mark.usefixtures("short")
def test_results_repeat_to_the_bit(device):
    torch.use_deterministic_algorithms(True)
    try:
        edges = edges_between(chosen(6, 6, 0.8))
        operator, results = built(edges, device), []
        state = numbers(6, 40, seed=1, device=device, dtype=torch.float32).detach()
        weight = numbers(edges.num_edges, seed=2, device=device, dtype=torch.float32).detach()
        f = RowActivation(ACTIVATIONS["tanh"], 6)
        for _ in range(2):
            out, total = torch.empty_like(state), torch.zeros_like(state)
            gradient, values = operator.new_gradient(weight), operator.prepare_transposed(weight)
            operator.adjoint(values, state, state, f, out, gradient=gradient, total=total)
            results.append(torch.cat([out.view(-1), total.view(-1), gradient]))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*results)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_row_of_a_hundred_thousand_edges():
    mask = torch.zeros(3, 100_000, dtype=torch.bool)
    mask[1] = mask[:, 5] = True
    edges = edges_between(mask)
    weight = numbers(edges.num_edges, seed=1, device="cuda", dtype=torch.float32)
    state = numbers(100_000, 7, seed=2, device="cuda", dtype=torch.float32)
    found = bind(built(edges, torch.device("cuda")), weight)(state)
    leaves = double(weight), double(state)
    expected = matrix_of(edges, leaves[0]) @ leaves[1]
    assert_close(found, expected, 1e-5)
    gradients = torch.autograd.grad(found.square().sum(), (weight, state))
    references = torch.autograd.grad(expected.square().sum(), leaves)
    for gradient, reference in zip(gradients, references, strict=True):
        assert_close(gradient, reference, 1e-5)
