import pytest
import torch
from torch import nn

from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.modules import input_attribution
from tests.strategies import normal

LABELS = torch.tensor([-1] * 3 + [0, 1] * 3 + [-1] * 2)


def cut_layer(activation):
    layer = SynchronousGraph(UnitGraph.complete(3, 6, 2), Unrolled(4), activation)
    layer = layer.double()
    with torch.no_grad():
        layer.weight.copy_(normal(layer.graph.num_edges) / 3)
    return cut(layer, LABELS)


def test_of_linear_modules_it_is_the_closed_form():
    layer = cut_layer("identity")
    matrix = torch.zeros(11, 11, dtype=torch.float64)
    matrix[layer.graph.edge_index[1], layer.graph.edge_index[0]] = layer.weight.detach()
    expected = []
    for module in (0, 1):
        units = (module == LABELS).nonzero().view(-1)
        within, inward, outward = matrix[units][:, units], matrix[units, :3], matrix[9:, units]
        powers = sum(torch.linalg.matrix_power(within, t) for t in range(4))
        expected.append((outward @ powers @ inward).abs().sum(dim=0))
    attribution = input_attribution(split(layer), normal(5, 3))
    torch.testing.assert_close(attribution, torch.stack(expected))


def test_it_is_the_mean_of_the_jacobians_of_the_samples():
    parts, x = split(cut_layer("tanh")), normal(5, 3)
    expected = [
        torch.stack([torch.autograd.functional.jacobian(part, row).abs().sum(dim=0) for row in x])
        for part in parts
    ]
    expected = torch.stack(expected).mean(dim=1)
    torch.testing.assert_close(input_attribution(parts, x), expected)
    with torch.no_grad():
        torch.testing.assert_close(input_attribution(parts, x), expected)


def test_inputs_keep_their_shape():
    linear = nn.Linear(6, 4)
    attribution = input_attribution([nn.Sequential(nn.Flatten(), linear)], torch.rand(5, 2, 3))
    torch.testing.assert_close(attribution[0], linear.weight.detach().abs().sum(dim=0).view(2, 3))


def test_a_module_without_inputs_depends_on_none():
    # Hidden units 1 and 2; input 0 reaches unit 1 alone.
    graph = UnitGraph(torch.tensor([[0, 1, 2], [1, 3, 3]]), 4, 1, 1)
    layer = cut(SynchronousGraph(graph, activation="tanh"), torch.tensor([-1, 0, 1, -1]))
    attribution = input_attribution(split(layer), torch.rand(5, 1))
    assert attribution[0] > 0
    assert attribution[1] == 0

    class Bias(nn.Linear):
        def forward(self, x):
            return self.bias.expand(len(x), -1)

    assert torch.equal(input_attribution([Bias(3, 2)], torch.rand(5, 3)), torch.zeros(1, 3))


def test_neither_inputs_nor_parameters_are_touched():
    parts, x = split(cut_layer("tanh")), normal(5, 3).requires_grad_()
    assert not input_attribution(parts, x).requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in parts.parameters())


def test_it_has_derivatives_in_inference_mode_too():
    parts, x = split(cut_layer("tanh")), normal(5, 3)
    with torch.inference_mode():
        found = input_attribution(parts, x)
        assert torch.equal(input_attribution(parts, x.clone()), found)
    assert torch.equal(found, input_attribution(parts, x))
    assert found.abs().min() > 0


@pytest.mark.parametrize(
    ("parts", "x", "match"),
    [
        ([], torch.rand(5, 3), r"at least one part and one sample \(got 0 and 5\)"),
        ([nn.Linear(3, 2)], torch.rand(0, 3), r"at least one part and one sample \(got 1 and 0\)"),
        ([nn.Linear(3, 2)], torch.rand(3), r"outputs of shape \[3, O\].*got \[2\]"),
    ],
)
def test_bad_arguments_are_refused(parts, x, match):
    with pytest.raises(ValueError, match=match):
        input_attribution(parts, x)


@pytest.mark.parametrize(
    ("change", "x", "match"),
    [
        (lambda parts: parts, torch.ones(2, 3).numpy(), r"x to be a tensor \(got ndarray\)"),
        (lambda parts: parts, torch.ones(2, 3).long(), r"torch.int64\). Use x.float\(\)"),
        (ModularGraph, torch.ones(2, 3), r"one ModularGraph\).* parts of a ModularGraph"),
        (lambda _: cut_layer("tanh"), torch.ones(2, 3), r"one SynchronousGraph\). Use split"),
    ],
)
def test_what_is_no_sequence_of_networks_or_no_input_is_refused(change, x, match):
    with pytest.raises(TypeError, match=match):
        input_attribution(change(split(cut_layer("tanh"))), x)
