from math import inf

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import SynchronousConv2d, SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.train import Probe
from tests.strategies import generator

NUM_INPUTS, NUM_HIDDEN = 6, 9
OF_INPUTS = torch.tensor([0, 1, 0, -1, 2, 1])
OF_HIDDEN = torch.arange(NUM_HIDDEN) % 3


def labels_of(of_outputs, of_inputs=OF_INPUTS):
    return torch.cat([of_inputs, OF_HIDDEN, torch.tensor(of_outputs)])


def whole(num_outputs=2, seed=0):
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, num_outputs), Unrolled(3))
    layer.reset_parameters(generator(seed))
    return layer.double()


def data(num_samples=40, num_outputs=2):
    x = torch.randn(num_samples, NUM_INPUTS, generator=generator(1), dtype=torch.float64)
    return x, torch.randn(num_samples, num_outputs, generator=generator(2), dtype=torch.float64)


def probe_of(model, x, y, **options):
    return Probe(model, (x, y), loss=F.mse_loss, **options)


@pytest.mark.parametrize("of_outputs", [[-1, -1], [-1, 2], [1, 0, 2]])
def test_modules_that_are_apart_lose_nothing(of_outputs):
    labels = labels_of(of_outputs)
    x, y = data(num_outputs=len(of_outputs))
    layer = cut(whole(len(of_outputs)), labels)
    layer.labels = None
    probe = probe_of(layer, x, y)
    assert probe.separated(labels) == pytest.approx(probe(None), rel=1e-12)
    other = labels.clone()
    other[[0, 1]] = labels[[1, 0]]
    assert abs(probe.separated(other) - probe(None)) > 1e-5


def test_it_is_the_loss_of_the_main_effects_of_the_modules():
    x, y = data(num_samples=12)
    layer, labels = whole(), labels_of([-1, 2])
    found = probe_of(layer, x, y).separated(labels)
    # By all others samples, and not by some.
    outputs = []
    with torch.no_grad():
        for sample in x:
            others = x[(x != sample).any(dim=1)]
            means = {}
            for module in (-1, 0, 1, 2):
                own = (OF_INPUTS == -1) | (module == OF_INPUTS)
                means[module] = layer(torch.where(own, sample, others)).mean(dim=0)
            shared = means[-1] + sum(means[module] - means[-1] for module in (0, 1, 2))
            outputs.append(torch.stack([shared[0], means[2][1]]))
    assert found == pytest.approx(float(F.mse_loss(torch.stack(outputs), y)), rel=0.15)


def test_it_is_the_layer_inside_of_a_model_and_all_is_left_as_it_is():
    x, y = data()
    layer, labels = whole(), labels_of([-1, -1])
    model = nn.Sequential(nn.Identity(), layer, nn.Identity())
    state = torch.get_rng_state()
    assert probe_of(model, x, y).separated(labels) == probe_of(layer, x, y).separated(labels)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not layer._forward_hooks


def test_images_are_replaced_as_a_whole():
    graph = UnitGraph.complete(2, 4, 2)
    layer = SynchronousConv2d(graph, kernel_size=3, generator=generator(0))
    labels = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1])
    modular = cut(layer, labels)
    modular.labels = None
    x = torch.randn(10, 2, 5, 5, generator=generator(1))
    probe = probe_of(modular, x, torch.zeros(10, 2, 5, 5))
    assert probe.separated(labels) == pytest.approx(probe(None), rel=1e-5)
    assert probe_of(layer, x, torch.zeros(10, 2, 5, 5)).separated(labels) != probe(None)


class OneByOne(nn.Module):
    """Calls its layer with a sample at a time."""

    def __init__(self, layer, keeps_rows):
        super().__init__()
        self.layer, self.keeps_rows = layer, keeps_rows

    def forward(self, x):
        rows = x.split(1) if self.keeps_rows else x
        return torch.stack([self.layer(row).view(-1) for row in rows])


def test_without_others_to_see_nothing_is_said():
    (x, y), labels = data(), labels_of([-1, -1])
    for keeps_rows in (True, False):
        assert probe_of(OneByOne(whole(), keeps_rows), x, y).separated(labels) == inf
    assert probe_of(whole(), x[:1], y[:1]).separated(labels) == inf

    def forward(model, batch):
        return model.states(batch[0])[:, -2:], batch[1]

    assert probe_of(whole(), x, y, forward=forward).separated(labels) == inf
