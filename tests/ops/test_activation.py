import pytest
import torch

from pyg_modules.ops import ACTIVATIONS, RowActivation, activation_of
from tests.references import ACTIVATIONS as REFERENCES
from tests.strategies import normal


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_derivatives_and_slopes(name):
    activation = ACTIVATIONS[name]
    sums = (10 * normal(200, 3)).requires_grad_()
    grad = normal(200, 3, seed=1)
    expected = torch.cat([REFERENCES[name](sums[:150]), sums[150:]])
    (derivative,) = torch.autograd.grad(expected, sums, grad)
    f = RowActivation(activation, 150)
    torch.testing.assert_close(f(sums), expected)
    in_place = sums.detach().clone()
    torch.testing.assert_close(f.apply_(in_place), expected)
    if activation.needs_sums:
        assert torch.equal(in_place, sums)
    result = grad.clone()
    f.backward_(result, in_place)
    torch.testing.assert_close(result, derivative)
    (slope,) = torch.autograd.grad(activation.function(sums).sum(), sums)
    assert 0.9 * activation.lipschitz < slope.abs().max() <= activation.lipschitz


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_modules_have_the_names_of_what_they_compute(name):
    assert activation_of(ACTIVATIONS[name].module()) == name


def test_every_activation_has_a_code_of_its_own():
    codes = [activation.code for activation in ACTIVATIONS.values()]
    assert sorted(codes) == list(range(len(ACTIVATIONS)))
    assert ACTIVATIONS["identity"].code == 0
