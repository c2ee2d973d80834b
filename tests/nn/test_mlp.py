from itertools import pairwise

import pytest
import torch
from torch import nn

from pyg_modules import SynchronousGraph, Unrolled
from tests.strategies import normal


def make_mlp(sizes, activation=nn.Tanh, **kwargs):
    modules = []
    for lower, upper in pairwise(sizes):
        modules += [nn.Linear(lower, upper, dtype=torch.float64, **kwargs), activation()]
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("backend", ["sparse", "scatter"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus])
@pytest.mark.parametrize("sizes", [[5, 3], [5, 7, 3], [5, 4, 6, 2, 3]])
def test_from_mlp_is_the_same_function_with_the_same_gradients(sizes, activation, bias, backend):
    mlp = make_mlp(sizes, activation, bias=bias)
    layer = SynchronousGraph.from_mlp(mlp, backend=backend)
    x, expected_x = (normal(4, 5).requires_grad_() for _ in range(2))
    outputs, expected = layer(x), mlp(expected_x)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)

    outputs.square().sum().backward()
    expected.square().sum().backward()
    linears = mlp[::2]
    weight_grad = torch.cat([linear.weight.grad.reshape(-1) for linear in linears])
    torch.testing.assert_close(layer.weight.grad, weight_grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, expected_x.grad, rtol=0, atol=1e-12)
    if bias:
        bias_grad = torch.cat([linear.bias.grad for linear in linears])
        torch.testing.assert_close(layer.bias.grad, bias_grad, rtol=0, atol=1e-12)


def test_from_mlp_unrolls_one_step_per_hidden_level():
    layer = SynchronousGraph.from_mlp(make_mlp([5, 4, 6, 3], nn.GELU))
    assert layer.solver == Unrolled(2)
    assert layer.activation == "gelu"
    assert layer.weight.dtype == torch.float64
    assert layer.graph.num_hidden == 10


def test_from_mlp_copies_the_parameters():
    mlp = make_mlp([2, 3, 1])
    layer = SynchronousGraph.from_mlp(mlp)
    before = layer.weight.clone()
    with torch.no_grad():
        mlp[0].weight.zero_()
    assert torch.equal(layer.weight, before)
    assert layer.weight.requires_grad


@pytest.mark.parametrize(
    ("mlp", "error", "message"),
    [
        (nn.Linear(2, 1), TypeError, r"nn.Sequential.*got Linear.*Wrap"),
        (nn.Sequential(), ValueError, r"in turn.*got nothing"),
        (nn.Sequential(nn.Linear(2, 3), nn.ReLU()), ValueError, r"got Linear, ReLU"),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(), nn.ReLU(), nn.Linear(3, 1)),
            ValueError,
            r"even positions.*Dropout",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1)),
            ValueError,
            r"activation among nn.ReLU\(\).*got PReLU",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.GELU(approximate="tanh"), nn.Linear(3, 1)),
            ValueError,
            r"got GELU\(approximate='tanh'\)",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)),
            ValueError,
            r"same activation.*relu, tanh",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1)),
            ValueError,
            r"matching levels \(got 3 features into 4\)",
        ),
    ],
)
def test_other_networks_are_refused(mlp, error, message):
    with pytest.raises(error, match=message):
        SynchronousGraph.from_mlp(mlp)


def test_settings_that_the_mlp_decides_are_refused():
    with pytest.raises(TypeError, match="activation"):
        SynchronousGraph.from_mlp(make_mlp([2, 3, 1]), activation="relu")
