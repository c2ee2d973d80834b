import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import SynchronousConv2d, SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.partition.judge import at_random, losses_in
from pyg_modules.partition.units import Units
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


@pytest.mark.parametrize("keeps_rows", [True, False])
def test_others_are_those_of_all_calls(keeps_rows):
    (x, y), labels = data(), labels_of([-1, -1])
    layer = cut(whole(), labels)
    layer.labels = None
    for model in (OneByOne(layer, keeps_rows), layer):
        # The last batch is a single sample.
        probe = probe_of(model, x, y, batch_size=13)
        assert probe.separated(labels) == pytest.approx(probe(None), rel=1e-12)
    other = labels.clone()
    other[[0, 1]] = labels[[1, 0]]
    losses = [
        probe_of(model, x, y).separated(other) - probe_of(model, x, y)(None)
        for model in (OneByOne(layer, keeps_rows), layer)
    ]
    assert losses[0] != 0
    assert losses[0] == pytest.approx(losses[1], abs=5e-3)


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 4, "steps": 30}])
def test_it_is_a_loss_of_the_samples_of_a_probe(options):
    (x, y), labels = data(), labels_of([-1, -1])
    layer = cut(whole(), labels)
    layer.labels = None
    probe = probe_of(layer, x, y, **options)
    assert probe.separated(labels) == pytest.approx(probe(None), rel=1e-12)


def test_with_a_module_that_says_nothing_it_means_nothing():
    (x, y), labels = data(), labels_of([-1, -1])
    layer = whole()
    with torch.no_grad():
        layer.weight[layer.graph.edge_index[0] == 4] = 0  # The one input of module 2.
    assert probe_of(layer, x, y).separated(labels) is None
    # A module with an output of its own says it all the same.
    assert probe_of(layer, x, y).separated(labels_of([-1, 2])) is not None


def test_without_others_to_see_it_means_nothing():
    (x, y), labels = data(), labels_of([-1, -1])
    assert probe_of(whole(), x[:1], y[:1]).separated(labels) is None

    def forward(model, batch):
        return model.states(batch[0])[:, -2:], batch[1]

    assert probe_of(whole(), x, y, forward=forward).separated(labels) is None


def test_it_is_not_asked_where_modules_are_dead():
    (x, y), labels = data(), labels_of([-1, -1])
    layer = whole()
    units, probe = Units(layer, scope="inputs"), probe_of(layer, x, y)
    assert losses_in(units, probe, labels).separated == probe.separated(labels)
    source, target = layer.graph.edge_index
    # Unit 6 is the first of module 0, and reads inputs of others alone.
    graph = layer.graph.with_edges(layer.graph.edge_index[:, (target != 6) | (source == 1)])
    fewer = SynchronousGraph(graph, layer.solver).double()
    others = labels.clone()
    others[[9, 12]] = 1
    found = losses_in(Units(fewer, scope="inputs"), probe_of(fewer, x, y), others)
    assert found.separated is None
    assert found.worth == found.probed


def test_inputs_at_random_are_others_and_as_many_in_every_module():
    labels = torch.tensor([0, 0, 1, 1, *[0, 1] * 6, -1])
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 1), Unrolled(3))
    for seed in range(20):
        mixed = at_random(Units(layer, scope="inputs"), labels, seed)
        assert mixed[:4].bincount().tolist() == [2, 2]
        assert mixed[4:16].bincount().tolist() == [6, 6]
        assert mixed[0] != mixed[1]
        assert mixed[-1] == -1


def test_cuts_at_random_are_of_different_inputs_while_there_are_others():
    labels = torch.tensor([0, 0, 1, 1, *[0, 1] * 6, -1])
    units = Units(SynchronousGraph(UnitGraph.complete(4, 12, 1), Unrolled(3)), scope="inputs")
    for seed in range(20):
        first = at_random(units, labels, seed)
        second = at_random(units, labels, seed + 1, known=[first])
        # Of four inputs there are three partitions into pairs.
        partner = {int((each[1:4] == each[0]).nonzero()) for each in (labels, first, second)}
        assert partner == {0, 1, 2}


def test_modules_at_random_may_say_nothing_and_count_by_what_they_could_do_all_the_same():
    (x, y), labels = data(), labels_of([-1, -1])
    layer = whole()
    with torch.no_grad():
        layer.weight[layer.graph.edge_index[0] == 4] = 0  # The one input of module 2.
    probe = probe_of(layer, x, y)
    units = Units(layer, scope="inputs")
    assert losses_in(units, probe, labels).separated is None
    found = losses_in(units, probe, labels, all_speak=False).separated
    assert found == probe.separated(labels, all_speak=False)
    # As if the input were no module's: it changes nothing.
    shared = labels.clone()
    shared[4] = -1
    assert found == pytest.approx(probe.separated(shared, all_speak=False), rel=1e-12)
