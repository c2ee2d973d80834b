import math

import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph
from pyg_modules.ops import ACTIVATIONS, BACKENDS, EdgeSet, RowActivation
from pyg_modules.ops.numba import numba_operator
from tests.processes import exit_of_fresh
from tests.strategies import generator

pytest.importorskip("numba")


def operator_and_weight():
    chosen = torch.rand(300, 300, generator=generator(0)) < 0.1
    chosen[:, 7] = True  # One source of all, one target of all: the rows are of unequal length.
    chosen[9] = True
    target, source = chosen.nonzero().T
    block = EdgeSet.between(torch.stack([source, target]), range(300), range(300))
    weight = torch.randn(block.num_edges, generator=generator(1)) / 6
    return BACKENDS["numba"].build(block), weight


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "identity"])
def test_fused_activations_are_those_of_torch(name):
    operator, weight = operator_and_weight()
    state, add = torch.randn(2, 300, 33, generator=generator(2)).unbind()
    values, out = operator.prepare(weight), torch.empty(300, 33)
    sums = torch.empty(300, 33)
    operator.matmul(values, state, sums)
    f = RowActivation(ACTIVATIONS[name], 290)
    operator.update(values, state, add, f, out)
    torch.testing.assert_close(out, f(sums + add), rtol=1e-6, atol=1e-6)


def test_the_rational_tanh_is_accurate_and_keeps_what_is_not_a_number():
    operator, _ = operator_and_weight()
    sums = torch.linspace(-20, 20, 300 * 999).view(300, 999)
    sums[0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    out = torch.empty_like(sums)
    operator.start(sums, RowActivation(ACTIVATIONS["tanh"], 300), out)
    torch.testing.assert_close(out, sums.tanh(), rtol=1e-6, atol=0, equal_nan=True)
    operator.start(sums, RowActivation(ACTIVATIONS["relu"], 300), out)
    assert out[0, 0].isnan()


def test_results_do_not_depend_on_the_number_of_threads():
    operator, weight = operator_and_weight()
    state = torch.randn(300, 33, generator=generator(2))
    results, num_threads = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out, total = torch.empty(300, 33), torch.zeros(300, 33)
            gradient = operator.new_gradient(weight)
            operator.adjoint(
                operator.prepare_transposed(weight),
                state,
                state,
                RowActivation(ACTIVATIONS["tanh"], 300),
                out,
                gradient=gradient,
                total=total,
            )
            results.append(torch.cat([out.view(-1), total.view(-1), gradient]))
    finally:
        torch.set_num_threads(num_threads)
    assert torch.equal(*results)


def test_torch_keeps_its_number_of_threads():
    # In a process of its own: numba starts its threads once.
    assert exit_of_fresh(computes_with_one_thread_of_torch) == 0


def computes_with_one_thread_of_torch():
    torch.set_num_threads(1)
    layer = SynchronousGraph(UnitGraph.complete(3, 40, 2), backend="numba")
    layer(torch.rand(5, 3)).sum().backward()
    assert torch.get_num_threads() == 1, torch.get_num_threads()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_residuals_are_those_of_double_precision(dtype, num_threads, monkeypatch):
    monkeypatch.setattr(numba_operator, "_PRODUCTS_WORTH_THREADS", 0)
    operator, rand = operator_and_weight()[0], generator(0)
    state, following = (torch.randn(300, 7, dtype=dtype, generator=rand) for _ in range(2))
    state[:, 1] = following[:, 1] = 0
    state[:, 2] = 0
    following[:, 3] = state[:, 3]
    state[:, 4] *= 1e-30
    following[:, 4] = 2 * state[:, 4]
    following[3, 5], state[4, 6] = math.nan, math.inf
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(num_threads)
        found = operator.residual(following, state)
    finally:
        torch.set_num_threads(before)
    difference, wide = (following - state).double(), state.double()
    norm = difference.square().sum(dim=0).sqrt()
    torch.testing.assert_close(found[0], (norm / wide.square().sum(dim=0).sqrt())[0].to(dtype))
    assert found.dtype == dtype
    assert found[1] == 0
    assert found[2] > 1e30
    assert found[3] == 0
    torch.testing.assert_close(found[4], torch.tensor(1.0, dtype=dtype), rtol=1e-5, atol=0)
    assert found[5].isnan()
    assert found[6].isinf()
    # What the loops cannot read is computed by torch, of the columns beside as well.
    strided = operator.residual(following.T.contiguous().T, state.T.contiguous().T)
    torch.testing.assert_close(strided[:4], found[:4])
