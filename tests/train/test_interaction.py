import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import SynchronousConv2d, SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.train import Probe
from tests.strategies import generator

NUM_INPUTS, NUM_HIDDEN = 6, 9
OF_INPUTS = torch.tensor([0, 1, 0, 2, 2, 1])


def whole(num_outputs=1, activation="tanh"):
    graph = UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, num_outputs)
    layer = SynchronousGraph(graph, Unrolled(3), activation)
    layer.reset_parameters(generator(0))
    return layer.double()


def inputs(num_samples=64):
    return torch.randn(num_samples, NUM_INPUTS, generator=generator(1), dtype=torch.float64)


def found_in(model, x, y=None, **options):
    return Probe(model, (x, x[:, :1] if y is None else y), loss=F.mse_loss, **options).interaction()


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("num_outputs", [1, 3])
def test_inputs_of_modules_whose_outputs_add_up_do_not_interact(activation, num_outputs):
    labels = torch.cat([OF_INPUTS, torch.arange(NUM_HIDDEN) % 3, torch.full((num_outputs,), -1)])
    x = inputs()
    found = found_in(cut(whole(num_outputs, activation), labels), x, x[:, :num_outputs])
    together = (OF_INPUTS.unsqueeze(1) == OF_INPUTS) & ~torch.eye(NUM_INPUTS, dtype=torch.bool)
    assert torch.equal(found, found.T)
    assert float(found[~together].abs().max()) < 1e-12
    assert float(found[together].min()) > 1e-3


def test_it_is_the_mean_change_of_the_slopes_in_units_of_their_spreads():
    layer, x = whole(), inputs(200)
    found = found_in(layer, x, batch_size=len(x))
    slope = torch.func.vmap(torch.func.grad(lambda one: layer(one)[0]))
    scale = (x.std(dim=0, correction=0) / layer(x).std(correction=0)).detach()
    expected = torch.zeros(NUM_INPUTS, NUM_INPUTS, dtype=torch.float64)
    for unit in range(NUM_INPUTS):
        for shift in range(1, len(x), 10):
            other = x.clone()
            other[:, unit] = x[:, unit].roll(shift)
            expected[unit] += (slope(other) - slope(x)).abs().mean(dim=0).detach() / 20
    expected = (expected * scale).fill_diagonal_(0)
    torch.testing.assert_close(found, expected + expected.T, rtol=0.2, atol=0)


def test_an_input_that_is_always_the_same_does_not_interact():
    x = inputs()
    x[:, 2] = 3
    found = found_in(whole(), x)
    assert not found[2].any()
    assert float(found[0, 1]) > 0


def test_it_is_of_the_layer_inside_of_a_model_and_leaves_all_as_it_is():
    layer, x = whole(), inputs()
    model = nn.Sequential(nn.Identity(), layer)
    state = torch.get_rng_state()
    torch.testing.assert_close(found_in(model, x, seed=3), found_in(layer, x, seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_of_many_inputs_some_are_replaced(monkeypatch):
    x = inputs()
    layer = whole()
    expected = found_in(layer, x)
    monkeypatch.setattr("pyg_modules.train.interaction._PASSES", 2)
    found = found_in(layer, x)
    assert int((found == 0).sum()) == NUM_INPUTS + 4 * 3  # Pairs of which neither was replaced.
    replaced = (found > 0).sum(dim=0) == NUM_INPUTS - 1
    assert int(replaced.sum()) == 2
    assert (expected > 0).sum() == NUM_INPUTS * (NUM_INPUTS - 1)


def test_channels_of_images_interact():
    layer = SynchronousConv2d(UnitGraph.complete(4, 6, 1), generator=generator(0))
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -1])
    x = torch.randn(8, 4, 5, 5, generator=generator(1))
    found = found_in(cut(layer, labels), x, torch.zeros(8, 1, 5, 5))
    assert float(found[0, 1].abs()) < 1e-6
    assert float(found[0, 2]) > 1e-3


def test_a_model_that_does_not_call_its_layer_shows_none():
    def forward(model, batch):
        return model.states(batch[0])[:, -1:], batch[1]

    assert found_in(whole(), inputs(), forward=forward) is None
