import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_modules.ops import ACTIVATIONS, EdgeSet, RowActivation, TritonBlockOperator
from pyg_modules.ops.triton import triton_block_operator
from tests.ops.triton.cases import TOLERANCE, assert_solved, edges_between, numbers
from tests.strategies import generator, seeds


def blocks(*sizes, density=1.0, seed=0):
    """Edges within sets of units of these sizes, whose units do not stand in a line."""
    number = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes, dtype=torch.long))
    number = number[torch.randperm(len(number), generator=generator(seed))]
    mask = torch.rand(len(number), len(number), generator=generator(seed)) < density
    mask &= number[:, None] == number[None, :]
    target, source = mask.nonzero().T
    return EdgeSet.between(torch.stack([source, target]), *2 * [range(len(number))])


def problem(edges, batch, device, dtype=torch.float32):
    operator = TritonBlockOperator.build(edges).to(device)
    weight = numbers(edges.num_edges, seed=1, device=device, dtype=dtype)
    with torch.no_grad():
        weight *= edges.num_targets**0.5
    injected = numbers(edges.num_targets, batch, seed=2, device=device, dtype=dtype)
    return operator, edges, weight, injected


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", sorted(TOLERANCE, key=str), ids=str)
def test_solves_and_gradients_are_those_of_a_dense_matrix(activation, dtype, device):
    operator, edges, weight, injected = problem(blocks(5, 7, 7, 6), 5, device, dtype)
    assert_solved(operator, edges, activation, weight, injected, steps=4)


@given(
    sizes=st.lists(st.integers(1, 20), max_size=4),
    batch=st.sampled_from([0, 1, 17]),
    density=st.sampled_from([0.0, 0.4, 1.0]),
    steps=st.integers(1, 4),
    checkpoint=st.booleans(),
    activation=st.sampled_from(["tanh", "silu"]),
    seed=seeds,
)
@settings(max_examples=8)
def test_it_solves_blocks_of_any_size(
    sizes, batch, density, steps, checkpoint, activation, seed, device
):
    edges = blocks(*sizes, density=density, seed=seed)
    operator, _, weight, injected = problem(edges, batch, device)
    arguments = operator, edges, activation, weight, injected
    assert_solved(*arguments, steps=steps, checkpoint=checkpoint)


@pytest.mark.parametrize("width", [16, 33, 64, 100, 128])
def test_one_complete_block_of_up_to_128_units(width, device):
    edges = edges_between(torch.ones(width, width, dtype=torch.bool))
    assert TritonBlockOperator.work(edges, 8).cells == width**2
    arguments = problem(edges, 40, device)
    assert_solved(arguments[0], edges, "tanh", *arguments[2:], steps=4)


def test_all_updates_are_one_launch_per_direction_and_batch_of_blocks(device, monkeypatch):
    calls = []
    for name in ("unroll", "unroll_backward"):
        kernel = getattr(TritonBlockOperator, name)

        def counted(*args, name=name, kernel=kernel):
            calls.append(name)
            return kernel(*args)

        monkeypatch.setattr(TritonBlockOperator, name, counted)
    for one_by_one in ("update", "adjoint"):
        monkeypatch.setattr(TritonBlockOperator, one_by_one, None)
    operator, edges, weight, injected = problem(blocks(8, 8, 8), 4, device)
    assert_solved(operator, edges, "tanh", weight, injected, steps=8)
    assert calls == ["unroll", "unroll_backward"]


def test_wider_blocks_are_computed_one_update_at_a_time(device, monkeypatch):
    monkeypatch.setattr(triton_block_operator, "_MAX_WIDTH", 80)
    triton_block_operator._max_width.cache_clear()
    try:
        # Two batches: of blocks of 90, which are too wide, and of 3.
        edges = blocks(90, 3, 3)
        assert [width for _, width in edges.packing.batches] == [90, 3]
        assert TritonBlockOperator.work(edges, 4) is not None
        assert TritonBlockOperator.work(blocks(90, 90), 4) is None
        operator, _, weight, injected = problem(edges, 4, device)
        with torch.no_grad():
            weight /= 10
        assert_solved(operator, edges, "tanh", weight, injected, steps=4)
        f = RowActivation(ACTIVATIONS["tanh"], operator.num_rows)
        fit = [piece.operator._fits(piece.f, device) for piece in operator.pieces(f)]
        assert fit == [False, True]
    finally:
        triton_block_operator._max_width.cache_clear()


def test_results_repeat_to_the_bit(device):
    operator, _, weight, injected = problem(blocks(9, 9, 4), 40, device)
    runs = []
    for _ in range(2):
        f = RowActivation(ACTIVATIONS["tanh"], operator.num_rows)
        values, constant = operator.prepare(weight.detach()), operator.enter(injected.detach())
        kept = constant.new_empty(5, *constant.shape)
        piece = operator.pieces(f)[0]
        assert len(operator.pieces(f)) == 1
        last = piece.operator.unroll(values, constant, piece.f, kept, 5, 1)
        gradient, total = operator.new_gradient(weight.detach()), torch.ones_like(constant)
        assert piece.operator.unroll_backward(values, kept, piece.f, gradient, total)
        runs.append(torch.cat([last.flatten(), kept.flatten(), gradient, total.flatten()]))
    assert torch.equal(*runs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("allowed", "least", "most"), [(False, 0, 3e-6), (True, 1e-5, 1e-2)])
def test_float32_is_as_precise_as_torch_is_told_to_be(allowed, least, most, monkeypatch):
    precision = "tf32" if allowed else "ieee"
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", precision)
    edges = edges_between(torch.ones(128, 128, dtype=torch.bool))
    operator, _, weight, injected = problem(edges, 64, torch.device("cuda"))
    f = RowActivation(ACTIVATIONS["identity"], 128)
    values = operator.prepare(weight.detach())
    found = operator.unroll(values, injected.detach(), f, injected.detach()[None], 2, 0)
    exact = weight.detach().double().view(128, 128) @ injected.detach().double() + injected.double()
    error = (found.double() - exact).norm() / exact.norm()
    assert least <= error <= most
