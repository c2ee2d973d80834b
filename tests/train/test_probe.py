import copy
import random
import threading
from functools import partial
from math import log

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
)
from torch_geometric.data import Data

from pyg_modules import (
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.partition.judge import shuffled
from pyg_modules.train import Probe, fit, seeded
from tests.strategies import generator

NUM_INPUTS, NUM_OUTPUTS = 4, 2


def data(num_samples=40, seed=0):
    x = torch.randn(num_samples, NUM_INPUTS, generator=generator(seed))
    return x, (x[:, :1] * x[:, 1:2] + x[:, :NUM_OUTPUTS])


def new_layer(seed=0):
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, 12, NUM_OUTPUTS))
    layer.reset_parameters(generator(seed))
    return layer


def two_modules(layer):
    labels = torch.full((layer.graph.num_units,), -1)
    labels[NUM_INPUTS:-NUM_OUTPUTS] = torch.arange(12) % 2
    return labels


def test_without_labels_it_is_the_loss_of_the_network_as_it_is():
    layer, (x, y) = new_layer(), data()
    expected = F.mse_loss(layer(x), y).item()
    assert Probe(layer, (x, y), loss=F.mse_loss)(None) == pytest.approx(expected, rel=1e-5)


def test_with_labels_it_is_that_of_the_cut_network_after_a_training():
    layer, (x, y) = new_layer(), data()
    labels = two_modules(layer)
    probe = Probe(
        layer, (x, y), loss=F.mse_loss, learning_rate=0.01, weight_decay=0.2, batch_size=8, seed=3
    )
    modular = cut(layer, labels)
    fit(
        modular,
        (x, y),
        epochs=1,
        seed=3,
        loss=F.mse_loss,
        learning_rate=0.01,
        weight_decay=0.2,
        batch_size=8,
        one_cycle=False,
    )
    expected = F.mse_loss(modular(x), y).item()
    assert expected < F.mse_loss(cut(layer, labels)(x), y).item()
    assert probe(labels) == pytest.approx(expected, rel=1e-4)


def test_steps_that_make_a_cut_network_worse_do_not_count():
    layer, (x, y) = new_layer(), data()
    labels = two_modules(layer)
    probe = Probe(layer, (x, y), loss=F.mse_loss, learning_rate=10.0)
    expected = F.mse_loss(cut(layer, labels)(x), y).item()
    assert probe(labels) == pytest.approx(expected, rel=1e-5)


def test_the_model_its_gradients_and_all_random_sources_are_left_as_they_are():
    layer = new_layer()
    model = nn.Sequential(nn.Dropout(0.2), nn.BatchNorm1d(NUM_INPUTS), layer)
    x, y = data()
    F.mse_loss(model(x), y).backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient = layer.weight.grad.clone()
    of_loader = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(x, y), 8, shuffle=True, generator=of_loader)
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy()
    loader_state = of_loader.get_state()
    probe = Probe(model, loader, loss=F.mse_loss)
    first = probe(two_modules(layer))
    assert model.training
    assert layer.edge_mask is None
    assert torch.equal(layer.weight.grad, gradient)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (numpy.random.get_state()[1] == states[2]).all()
    assert torch.equal(of_loader.get_state(), loader_state)
    torch.manual_seed(9)
    assert probe(two_modules(layer)) == first


def test_right_modules_cost_less_than_modules_at_random():
    problem = planted_problem(2, "linear-threshold", num_train=1000, seed=0)
    with seeded(0):
        graph = UnitGraph.complete(problem.num_inputs, 16, problem.num_outputs)
        layer = SynchronousGraph(graph)
    labels = problem.owners(16)
    # Inputs that inform no sub-task go to either; hidden units, to those that they serve most.
    labels[labels < 0] = torch.arange(int((labels < 0).sum())) % 2
    modular = cut(layer, labels)
    settings = {"loss": problem.loss, "batch_size": 50, "learning_rate": 1e-2}
    fit(modular, problem, epochs=10, seed=0, **settings)
    with torch.no_grad():
        kept = labels[layer.graph.edge_index[0]] == labels[layer.graph.edge_index[1]]
        layer.weight.zero_()
        layer.weight[kept] = modular.weight
        layer.bias.copy_(modular.bias)
    probe = Probe(layer, problem, **settings)
    assert (
        probe(labels)
        < probe(shuffled(labels, numpy.zeros(int((labels >= 0).sum()), dtype=int), seed=0)) / 2
    )
    assert probe(labels) < probe(None) + 0.05


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_steps_may_be_fewer_or_more_than_those_of_an_epoch(steps):
    layer, (x, y) = new_layer(), data()
    seen = []
    loss = lambda outputs, targets: (seen.append(len(targets)), F.mse_loss(outputs, targets))[1]  # noqa: E731
    probe = Probe(layer, (x, y), loss=loss, batch_size=8, steps=steps)
    probe(None)  # How low the loss can be is found out once.
    seen.clear()
    probe(two_modules(layer))
    # In the training; and together, every sample once, in the measurements before and after it.
    measured = min(8 * steps, len(y))
    assert seen == [measured, *[8] * steps, measured]


def test_a_compiled_model_is_not_compiled_again():
    compiled = []

    def backend(module, _):
        compiled.append(module)
        return module.forward

    layer, (x, y) = new_layer(), data()
    labels = two_modules(layer)
    expected = Probe(layer, (x, y), loss=F.mse_loss)(labels)
    model = torch.compile(layer, backend=backend)
    assert Probe(model, (x, y), loss=F.mse_loss)(labels) == expected
    assert compiled == []


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_trains_where_gradients_are_off(mode):
    layer, (x, y) = new_layer(), data()
    probe = Probe(layer, (x, y), loss=F.mse_loss)
    expected = probe(two_modules(layer))
    with mode():
        assert probe(two_modules(layer)) == expected


def test_the_layer_to_cut_must_be_told_from_others():
    first, second = new_layer(0), SynchronousGraph(UnitGraph.complete(NUM_OUTPUTS, 6, 2))
    model = nn.Sequential(first, second)
    x, y = data()
    with pytest.raises(ValueError, match=r"one layer .* \(got a model with 2 of them\)"):
        Probe(model, (x, y), loss=F.mse_loss)
    with pytest.raises(ValueError, match=r"a layer of the model \(got a Synchro"):
        Probe(model, (x, y), layer=new_layer(), loss=F.mse_loss)
    probe = Probe(model, (x, y), layer=first, loss=F.mse_loss)
    assert probe(two_modules(first)) > 0
    with pytest.raises(TypeError, match=r"torch.nn.Module \(got UnitGraph\)"):
        Probe(first.graph, (x, y))


def test_fit_gives_a_schedule_its_probe_and_leaves_one_that_it_has():
    from pyg_modules import PartitionRegularizer, PartitionSchedule
    from tests.strategies import KnowsItsTask

    layer, (x, y) = new_layer(), data()
    schedule = PartitionSchedule(PartitionRegularizer(layer, 2), 2)
    fit(layer, (x, y), epochs=2, seed=0, loss=F.mse_loss, schedule=schedule)
    assert isinstance(schedule.probe, Probe)
    assert schedule.verdict().uncut == pytest.approx(F.mse_loss(layer(x), y).item(), rel=1e-5)
    given = KnowsItsTask()
    own = PartitionSchedule(PartitionRegularizer(layer, 2), 2, probe=given)
    fit(layer, (x, y), epochs=2, seed=0, loss=F.mse_loss, schedule=own)
    assert own.probe is given


@pytest.mark.parametrize(
    ("loss", "targets", "expected"),
    [
        # Of the mean, and of the frequencies of the classes.
        (F.mse_loss, torch.tensor([[1.0, 0.0], [3.0, 2.0], [2.0, 1.0], [2.0, 1.0]]), 0.5),
        (F.cross_entropy, torch.tensor([0, 1, 0, 0]), 0.5623351446),
    ],
)
def test_chance_is_the_loss_of_the_best_constant_outputs(loss, targets, expected):
    x = torch.randn(4, NUM_INPUTS, generator=generator(0))
    probe = Probe(new_layer(), (x, targets), loss=loss, batch_size=3)
    assert probe.chance() == pytest.approx(expected, rel=1e-3)
    with torch.inference_mode():
        again = Probe(new_layer(), (x, targets), loss=loss)
        assert again.chance() == pytest.approx(expected, rel=1e-3)


def test_chance_and_the_loss_as_it_is_are_of_the_same_batches_where_classes_have_weights():
    x = torch.randn(300, NUM_INPUTS, generator=generator(0))
    y = (torch.arange(300) % 50 == 0).long()
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 50.0]))
    layer = new_layer()
    # With such weights, the classes count as much as 294 and 300 samples, however these come.
    shares = torch.tensor([294.0, 300.0]) / 594
    expected = loss(layer(x), y).item()
    for given in ((x, y), DataLoader(TensorDataset(x, y), 16)):
        probe = Probe(layer, given, loss=loss)
        assert probe.chance() == pytest.approx(float(-(shares * shares.log()).sum()), rel=1e-4)
        assert probe(None) == pytest.approx(expected, rel=1e-5)
        (record,) = fit(
            copy.deepcopy(layer),
            given,
            epochs=1,
            seed=0,
            loss=loss,
            learning_rate=1e-12,
            validation_data=given,
        )
        assert record.losses["validation"] == pytest.approx(expected, rel=1e-5)


def test_chance_and_the_loss_as_it_is_are_of_the_targets_that_count_however_they_come():
    # A batch with one of them, a batch with none, and two with all.
    y = torch.zeros(64, dtype=torch.long)
    y[:15], y[15], y[16:32] = -100, 1, -100
    x = torch.randn(64, NUM_INPUTS, generator=generator(0))
    layer, shares = new_layer(), torch.tensor([32.0, 1.0]) / 33
    expected = float(-(shares * shares.log()).sum())
    loader = DataLoader(TensorDataset(x, y), 16)
    for given in (loader, (x, y)):
        probe = Probe(layer, given, batch_size=None)
        assert probe.chance() == pytest.approx(expected, rel=1e-4)
        assert probe(None) == pytest.approx(F.cross_entropy(layer(x), y).item(), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 10.0, 20.0])
def test_chance_does_not_depend_on_how_far_away_outputs_are(scale):
    layer, y = new_layer(), torch.arange(40) % NUM_OUTPUTS
    with torch.no_grad():
        layer.weight *= scale
    assert Probe(layer, (data()[0], y)).chance() == pytest.approx(0.6931472, rel=1e-4)


def test_a_stream_is_looked_at_and_no_random_number_is_drawn():
    class Stream(IterableDataset):
        def __iter__(self):
            for x, y in zip(*data(), strict=True):
                yield x + torch.randn(NUM_INPUTS), y

    layer, loader = new_layer(), DataLoader(Stream(), 8)
    state = torch.get_rng_state()
    Probe(layer, loader, loss=F.mse_loss)(None)
    assert torch.equal(torch.get_rng_state(), state)


def noisy_loss(outputs, targets):
    return F.mse_loss(outputs, targets + torch.rand_like(targets))


def noisy_forward(model, batch):
    return model(batch[0] + torch.rand_like(batch[0])), batch[1]


@pytest.mark.parametrize("drawn", [{"loss": noisy_loss}, {"forward": noisy_forward}])
def test_what_a_loss_or_a_forward_draws_is_apart_from_the_training(drawn):
    layer = new_layer()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    probe = Probe(layer, data(), **{"loss": F.mse_loss, **drawn})
    first = probe(two_modules(layer))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert probe(two_modules(layer)) == first


def noisy(module, inputs):
    return tuple(x + 0.1 * torch.randn_like(x) for x in inputs) if module.training else None


class Dropped(nn.Module):
    def forward(self, weight):
        return F.dropout(weight, 0.5, self.training)


class NoisyLayer(SynchronousGraph):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x) if self.training else x)


@pytest.mark.parametrize("way", ["hook", "parametrization", "class"])
def test_what_a_layer_draws_is_apart_from_the_training(way):
    layer = new_layer()
    if way == "hook":
        layer.register_forward_pre_hook(noisy)
    elif way == "parametrization":
        register_parametrization(layer, "weight", Dropped())
    else:
        layer = NoisyLayer(layer.graph)
    probe = Probe(layer, data(), loss=F.mse_loss)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = probe(two_modules(layer))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert probe(two_modules(layer)) == first


def test_samples_are_the_same_where_a_sampler_of_batches_draws_them():
    layer, dataset = new_layer(), TensorDataset(*data())
    of_sampler = torch.Generator().manual_seed(5)
    sampler = BatchSampler(RandomSampler(dataset, generator=of_sampler), 8, drop_last=False)
    state = of_sampler.get_state()
    probe = Probe(layer, DataLoader(dataset, batch_sampler=sampler), steps=2, loss=F.mse_loss)
    assert probe(None) == probe(None)
    assert torch.equal(of_sampler.get_state(), state)


class OwnOrder(Sampler):
    """Samples in the order of generators of its own."""

    def __init__(self, size):
        self.size, self.of_numpy = size, numpy.random.default_rng(5)
        self.of_python = random.Random(5)

    def __len__(self):
        return self.size

    def __iter__(self):
        first = self.of_python.randrange(self.size)
        return iter(numpy.roll(self.of_numpy.permutation(self.size), first).tolist())


class Noisy(Dataset):
    """Samples with noise of a generator of its own."""

    def __init__(self, x, y):
        self.x, self.y, self.draws = x, y, numpy.random.RandomState(5)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, number):
        return self.x[number] + self.draws.normal(), self.y[number]


def test_generators_of_samplers_and_data_sets_are_left_where_they_are():
    layer, dataset = new_layer(), Noisy(*data())
    sampler = OwnOrder(len(dataset))
    loader = DataLoader(Subset(dataset, range(len(dataset))), 8, sampler=sampler)
    probe = Probe(layer, loader, loss=F.mse_loss)
    assert probe(None) == probe(None)
    fresh, of_set = OwnOrder(len(dataset)), numpy.random.RandomState(5)
    assert list(sampler) == list(fresh)
    assert dataset.draws.normal() == of_set.normal()


class Augmented(Noisy):
    """Samples that a transform with a generator of its own makes."""

    def __init__(self, x, y):
        super().__init__(x, y)
        self.transform = Shift()


class Shift:
    def __init__(self):
        self.draws = torch.Generator().manual_seed(5)

    def __call__(self, samples):
        return torch.utils.data.default_collate(samples)


def test_generators_of_parts_of_data_are_left_where_they_are():
    layer, parts = new_layer(), [Augmented(*data()), Noisy(*data())]
    shift = Shift()
    loader = DataLoader(ConcatDataset(parts), 8, collate_fn=shift)
    probe = Probe(layer, loader, loss=F.mse_loss)
    probe(None)
    first = numpy.random.RandomState(5).normal()
    assert [part.draws.normal() for part in parts] == [first, first]
    expected = torch.Generator().manual_seed(5).get_state()
    assert torch.equal(shift.draws.get_state(), expected)
    assert torch.equal(parts[0].transform.draws.get_state(), expected)


class Running(nn.Module):
    """A squared error over a mean of those before, which it keeps."""

    def __init__(self):
        super().__init__()
        self.register_buffer("in_place", torch.ones(()))
        self.register_buffer("replaced", torch.ones(()))
        self.calls, self.seen = 0, []
        self.draws = torch.Generator().manual_seed(5)

    def forward(self, outputs, targets):
        error = F.mse_loss(outputs, targets)
        self.in_place.mul_(0.9).add_(0.1 * error.detach())
        self.replaced = 0.9 * self.replaced + 0.1 * error.detach()
        self.calls += 1
        self.seen.append(float(error.detach()))
        self.last = outputs
        error = error * (1 + 0.1 * torch.rand((), generator=self.draws))
        return error / self.in_place.clone()


def test_a_loss_that_keeps_something_is_left_as_it_is():
    layer, loss = new_layer(), Running()
    seen = loss.seen
    probe = Probe(layer, data(), loss=loss)
    assert probe(two_modules(layer)) == probe(two_modules(layer))
    assert loss.calls == 0
    assert loss.seen is seen
    assert not seen
    assert not hasattr(loss, "last")
    assert torch.equal(loss.draws.get_state(), torch.Generator().manual_seed(5).get_state())
    assert float(loss.in_place) == float(loss.replaced) == 1


class Counting:
    """A squared error that counts, and has a part of torch that counts, too."""

    def __init__(self):
        self.calls, self.norm = 0, nn.BatchNorm1d(NUM_OUTPUTS)
        self.random = random.SystemRandom()

    def __call__(self, outputs, targets):
        self.calls += 1
        self.norm(targets)
        return F.mse_loss(outputs, targets)

    def loss(self, outputs, targets):
        return self(outputs, targets)


@pytest.mark.parametrize("way", ["itself", "a method", "partial"])
def test_an_object_that_counts_its_calls_is_left_as_it_is(way):
    counting = Counting()
    loss = {"itself": counting, "a method": counting.loss, "partial": partial(counting)}[way]
    Probe(new_layer(), data(), loss=loss)(None)
    assert counting.calls == 0
    assert int(counting.norm.num_batches_tracked) == 0


def test_a_loss_may_keep_sparse_matrices_and_grow_what_it_keeps():
    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", torch.eye(NUM_OUTPUTS).to_sparse())
            self.register_buffer("bank", torch.zeros(0, NUM_OUTPUTS))

        def forward(self, outputs, targets):
            self.bank.resize_(len(targets), NUM_OUTPUTS).copy_(targets)
            smooth = self.matrix @ outputs.T
            return F.mse_loss(outputs, targets) + 0.01 * smooth.square().mean()

    loss = Smooth()
    assert Probe(new_layer(), data(), loss=loss)(None) > 0
    assert loss.bank.shape == (0, NUM_OUTPUTS)


#: Losses whose lowest value is not that of the best outputs of a loss of torch, or of none.
OTHERWISE = {
    "flooded": lambda o, t: (F.mse_loss(o, t) - 0.1).abs() + 0.1,
    "a difference": lambda o, t: (
        (
            F.mse_loss(o, t, reduction="none").mean(1)
            - F.mse_loss(o, t.roll(1, 0), reduction="none").mean(1)
            + 1
        )
        .relu()
        .mean()
    ),
    "clamped": lambda o, t: (o - t - 100).square().clamp(max=4).mean(),
    "correlation": lambda o, t: 1 - F.cosine_similarity(o - o.mean(0), t - t.mean(0), dim=0).mean(),
    "normed": lambda o, t: F.mse_loss(F.layer_norm(o, (2,)), t) + F.layer_norm(o, (2,)).amax(),
    "counted": lambda o, t: F.mse_loss(o, t) + (o.argmax(1) != t.argmax(1)).float().mean().add(0.5),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_loss_whose_lowest_value_is_not_known_counts_from_0(name):
    for seed in range(5):
        layer, (x, y) = new_layer(), data(24, seed)
        loss = OTHERWISE[name]
        probe = Probe(layer, (x, y), loss=loss, batch_size=24)
        expected = float(loss(layer(x), y).detach())
        assert probe(None) == pytest.approx(expected, rel=0.5 if name == "a difference" else 1e-4)


def test_a_loss_that_checks_its_outputs_is_taken():
    def loss(outputs, targets):
        assert bool(((outputs >= 0) & (outputs <= 1)).all())
        return F.binary_cross_entropy(outputs, targets)

    x, y = data()
    model = nn.Sequential(new_layer(), nn.Sigmoid())
    assert 0 < Probe(model, (x, (y > 0).float()), loss=loss)(None) < 2


def test_a_function_that_counts_its_calls_is_left_as_it_is():
    def loss(outputs, targets):
        loss.calls += 1
        return F.mse_loss(outputs, targets)

    loss.calls = 0
    Probe(new_layer(), data(), loss=loss)(None)
    assert loss.calls == 0


def test_chance_of_batches_of_other_lengths_is_that_of_constants_by_class():
    """Sequences are as long as the longest of their batch."""
    model, rand = nn.Sequential(new_layer()), generator(3)
    batches = [
        (torch.randn(4, length, NUM_INPUTS, generator=rand), torch.arange(4 * length) % 3 // 2)
        for length in (5, 7, 6)
    ]

    def loss(outputs, targets):
        return F.cross_entropy(outputs.flatten(0, 1), targets)

    probe = Probe(model, DataLoader(batches, batch_size=None), loss=loss)
    every = torch.cat([y for _, y in batches])
    share = torch.bincount(every) / len(every)
    # A batch counts by its samples, of which all have four.
    mean = torch.stack([(torch.bincount(y) / len(y) * -share.log()).sum() for _, y in batches])
    assert probe.chance() == pytest.approx(float(mean.mean()), rel=1e-2)
    assert probe(None) > 0


def test_a_last_sample_that_is_squeezed_to_a_number_is_a_sample():
    layer, (x, y) = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, 8, 1)), data(17)
    forward = lambda model, batch: (model(batch[0]).squeeze(), batch[1].squeeze())  # noqa: E731
    probe = Probe(layer, (x, y[:, :1]), loss=F.mse_loss, forward=forward, batch_size=8)
    assert probe(None) == pytest.approx(float(F.mse_loss(layer(x), y[:, :1]).detach()), rel=1e-5)
    assert probe.chance() > 0


def test_a_model_that_is_not_trained_is_refused():
    layer = new_layer().requires_grad_(False)
    with pytest.raises(ValueError, match=r"a model with parameters to train \(got none\)"):
        Probe(layer, data(), loss=F.mse_loss)(two_modules(layer))


def test_losses_that_can_be_negative_are_refused():
    def shifted(outputs, targets):
        return (outputs - targets).square().mean() - 30

    with pytest.raises(ValueError, match=r"never negative \(got -2\d"):
        Probe(new_layer(), data(), loss=shifted)


def test_a_constant_that_is_added_does_not_count():
    layer, (x, y) = new_layer(), data()
    plain, shifted = (
        Probe(layer, (x, y), loss=lambda o, t, more=more: F.mse_loss(o, t) + more)
        for more in (0.0, -3.0)
    )
    assert shifted(None) == pytest.approx(plain(None), rel=1e-5)
    assert shifted.chance() == pytest.approx(plain.chance(), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.1])
@pytest.mark.parametrize("case", ["counts", "rates", "variance"])
def test_likelihoods_count_from_the_lowest_that_outputs_can_have(case, scale):
    layer, (x, _) = new_layer(), data(40)
    y = torch.poisson(torch.full((40, NUM_OUTPUTS), 9.0), generator=generator(1))
    y[0] = 0
    model, least = layer, torch.special.xlogy(y, y).neg().add(y).mean()
    if case == "variance":
        loss = lambda outputs, y: scale * F.gaussian_nll_loss(outputs, y, torch.full_like(y, 0.01))  # noqa: E731
        least = torch.tensor(0.5 * log(0.01))
    elif case == "rates":
        model = nn.Sequential(layer, nn.Softplus())
        loss = lambda outputs, y: scale * F.poisson_nll_loss(outputs, y, log_input=False)  # noqa: E731
    else:
        loss = lambda outputs, y: scale * F.poisson_nll_loss(outputs, y)  # noqa: E731
    assert least < 0
    probe = Probe(model, (x, y), loss=loss, batch_size=9)
    expected = float(loss(model(x), y).detach()) - scale * float(least)
    assert probe(None) == pytest.approx(expected, rel=1e-4)
    assert 0 < probe.chance() < expected


def lowest(loss, free, y):
    """The lowest loss of outputs that are free, from where they are on."""
    optimizer = torch.optim.LBFGS([free], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(free, y)
        value.backward()
        return value

    optimizer.step(closure)
    return float(loss(free, y).detach())


#: Losses that make something of what they are given, and what they are given.
PREPARED = {
    "smoothed by hand": (
        lambda o, t: F.cross_entropy(o, F.one_hot(t, 2) * 0.9 + 0.05),
        "classes",
    ),
    "binary, smoothed by hand": (
        lambda o, t: F.binary_cross_entropy_with_logits(o, t * 0.9 + 0.05),
        "flags",
    ),
    "probabilities of logits": (lambda o, t: F.cross_entropy(o, t.softmax(1)), "numbers"),
    "counts in another unit": (lambda o, t: F.poisson_nll_loss(o, t.abs() / 5), "numbers"),
    "a variance in the targets": (
        lambda o, t: F.gaussian_nll_loss(o[:, 0], t[:, 0], 0.2 + t[:, 1].abs()),
        "numbers",
    ),
    "a column of classes": (
        lambda o, t: F.cross_entropy(o, t[:, 0], label_smoothing=0.2),
        "column",
    ),
    "weights of samples": (
        lambda o, t: (
            F.cross_entropy(o, t[:, 0], reduction="none", label_smoothing=0.2) * t[:, 1]
        ).mean(),
        "weighted",
    ),
    "two tasks": (
        lambda o, t: (
            F.binary_cross_entropy_with_logits(o[:, :1], t[:, :1] * 0.8)
            + 2 * F.mse_loss(o[:, 1:], t[:, 1:])
        ),
        "flags",
    ),
    "flat": (
        lambda o, t: F.cross_entropy(o.view(-1, 2), t.flatten(), label_smoothing=0.2),
        "column",
    ),
    "by torch": (nn.HuberLoss(), "numbers"),
}


@pytest.mark.parametrize("name", PREPARED)
def test_losses_count_from_their_least_whatever_they_make_of_targets(name):
    """The lowest loss is found by hand, sample by sample."""
    loss, kind = PREPARED[name]
    layer, rand = new_layer(), generator(3)
    x, classes = torch.randn(24, NUM_INPUTS, generator=rand), torch.arange(24) % 2
    y = {
        "classes": classes,
        "column": classes.unsqueeze(1),
        "weighted": torch.stack([classes, torch.arange(24)], dim=1),
        "flags": torch.stack([classes, classes.roll(3)], dim=1).float(),
        "numbers": torch.randn(24, 2, generator=rand),
    }[kind]
    free = torch.zeros(24, 2, requires_grad=True)
    expected = float(loss(layer(x), y).detach()) - lowest(loss, free, y)
    probe = Probe(layer, (x, y), loss=loss, batch_size=24)
    assert probe(None) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_loss_that_depends_on_the_outputs_in_other_ways_counts_from_0(scale):
    layer, (x, _) = new_layer(), data(40)
    with torch.no_grad():
        layer.weight *= scale
    y = torch.arange(40) % 2

    def loss(outputs, targets):
        smoothed = F.cross_entropy(outputs, targets, label_smoothing=0.1)
        return smoothed + 0.1 * outputs.square().mean()

    expected = float(loss(layer(x), y).detach())
    assert Probe(layer, (x, y), loss=loss, batch_size=40)(None) == pytest.approx(expected)


def test_a_likelihood_whose_variance_is_learned_is_refused_at_once():
    def loss(outputs, targets):
        return F.gaussian_nll_loss(outputs[:, :1], targets[:, :1], outputs[:, 1:].exp())

    with pytest.raises(ValueError, match="whose variance is learned"):
        Probe(new_layer(), data(), loss=loss)


@pytest.mark.parametrize(
    ("activation", "loss", "plain", "rare"),
    [
        (nn.LogSoftmax(1), F.nll_loss, F.cross_entropy, False),
        (nn.LogSoftmax(1), nn.NLLLoss(torch.tensor([1.0, 3.0])), None, False),
        (nn.Sigmoid(), F.binary_cross_entropy, F.binary_cross_entropy_with_logits, False),
        (nn.Sigmoid(), F.binary_cross_entropy, F.binary_cross_entropy_with_logits, True),
    ],
)
def test_chance_is_that_of_constants_that_the_loss_takes(activation, loss, plain, rare):
    layer, (x, _) = new_layer(), data(200)
    plain = plain or nn.CrossEntropyLoss(loss.weight)
    y = x[:, :NUM_OUTPUTS] > (2.2 if rare else 0)
    y = y[:, 0].long() if isinstance(activation, nn.LogSoftmax) else y.float()
    found = Probe(nn.Sequential(layer, activation), (x, y), loss=loss).chance()
    assert found == pytest.approx(Probe(layer, (x, y), loss=plain).chance(), rel=1e-3)
    assert found > 0


def test_a_loss_without_a_least_value_is_refused_before_a_training():
    def likelihood(outputs, targets):
        return -outputs[torch.arange(len(outputs)), targets].mean()

    x, y = data()
    model = nn.Sequential(new_layer(), nn.LogSoftmax(1))
    with pytest.raises(ValueError, match=r"least value|never negative"):
        Probe(model, (x, y[:, 0].gt(0).long()), loss=likelihood)


def test_a_loss_that_does_not_fit_is_told_before_a_training():
    x, _ = data()
    with pytest.raises(TypeError, match="Expected probabilities"):
        Probe(new_layer(), (x, torch.zeros(len(x), NUM_OUTPUTS, dtype=torch.long)))


def test_a_forward_that_calls_another_model_than_it_is_given_is_refused():
    layer = new_layer()
    for model in (layer, nn.Sequential(nn.Linear(NUM_INPUTS, NUM_INPUTS), layer)):
        with pytest.raises(ValueError, match="outputs of the model that forward is called with"):
            Probe(
                model,
                data(),
                loss=F.mse_loss,
                forward=lambda _, batch, model=model: (model(batch[0]), batch[1]),
            )


class Keeping(nn.Module):
    def __init__(self, layer, keep):
        super().__init__()
        self.enter, self.layer, self.keep = nn.Linear(NUM_INPUTS, NUM_INPUTS), layer, keep

    def forward(self, x):
        self.kept = self.keep(self.enter(x))
        return self.layer(self.enter(x))


def test_a_model_that_keeps_what_it_computed_is_copied():
    model = Keeping(new_layer(), lambda hidden: hidden)
    x, y = data()
    F.mse_loss(model(x), y).backward()
    kept, labels = model.kept, two_modules(model.layer)
    probe = Probe(model, (x, y), loss=F.mse_loss)
    plain = nn.Sequential(model.enter, model.layer)
    assert probe(labels) == Probe(plain, (x, y), loss=F.mse_loss)(labels)
    assert model.kept is kept
    assert kept.requires_grad


def test_a_model_that_cannot_be_copied_is_refused_before_a_training():
    model = Keeping(new_layer(), lambda _: threading.Lock())
    with pytest.raises(TypeError, match=r"can be copied.*lock"):
        Probe(model, data(), loss=F.mse_loss)


def test_gradients_of_what_is_around_the_copy_stay_as_they_are():
    scale = nn.Parameter(torch.ones(()))

    def loss(outputs, targets):
        return scale.square() * F.mse_loss(outputs, targets) + 1e-3 * layer.weight.abs().sum()

    layer = new_layer()
    probe = Probe(layer, data(), loss=loss)
    probe(two_modules(layer))
    probe.chance()
    assert scale.grad is None
    assert layer.weight.grad is None


def test_the_layer_is_found_in_a_model_that_has_changed():
    layers = [SynchronousGraph(UnitGraph.complete(4, 12, 4)) for _ in range(2)]
    layers.append(new_layer())
    model = nn.Sequential(*layers)
    probe = Probe(model, data(), layer=layers[2], loss=F.mse_loss)
    model[0] = nn.Linear(4, 4)
    assert probe(two_modules(layers[2])) == Probe(model, data(), loss=F.mse_loss, layer=layers[2])(
        two_modules(layers[2])
    )
    model[2] = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="a layer of the model"):
        probe(None)


def test_influence_is_the_share_of_the_mean_slopes_in_units_of_their_spread():
    layer, (x, y) = new_layer(), data()
    jacobian = torch.func.vmap(torch.func.jacrev(layer.double()))(x.double())
    scale = x.double().std(dim=0, correction=0).unsqueeze(1) / layer(x.double()).std(
        dim=0, correction=0
    )
    expected = jacobian.abs().mean(dim=0).T * scale
    probe = Probe(layer, (x.double(), y.double()), loss=F.mse_loss, batch_size=len(x))
    torch.testing.assert_close(probe.influence(), (expected / expected.sum(dim=0)).detach())


def test_influence_is_of_the_layer_inside_of_a_model_and_leaves_all_as_it_is():
    layer, (x, y) = new_layer(), data()
    model = nn.Sequential(nn.Linear(NUM_INPUTS, NUM_INPUTS), nn.Dropout(0.5), layer, nn.ReLU())
    inside = model[0](x).detach()
    alone = Probe(layer, (inside, y), loss=F.mse_loss, batch_size=len(x)).influence()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    probe = Probe(model, (x, y), loss=F.mse_loss, batch_size=len(x))
    torch.testing.assert_close(probe.influence(), alone)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not layer._forward_pre_hooks


def correlated(num_samples=500, seed=0):
    """Inputs of which the first two go along with each other, and so do others, less."""
    x, y = data(num_samples, seed)
    x = x.double()
    x[:, 1] = x[:, 0] + 0.3 * x[:, 1]
    x[:, 3] = 0.5 * x[:, 2] - x[:, 3]
    return x, y.double()


@pytest.mark.parametrize("pairs", [2**22, 5])
def test_inputs_share_the_influence_of_those_that_they_are_correlated_with(monkeypatch, pairs):
    monkeypatch.setattr("pyg_modules.train.dependence._PAIRS", pairs)
    layer, (x, y) = new_layer().double(), correlated()
    found = Probe(layer, (x, y), loss=F.mse_loss, batch_size=len(x)).influence()
    monkeypatch.setattr("pyg_modules.train.dependence._SIGNIFICANT", 1e9)
    direct = Probe(layer, (x, y), loss=F.mse_loss, batch_size=len(x)).influence()
    correlation = numpy.abs(numpy.corrcoef(x.numpy().T))
    correlation[correlation < 5 / len(x) ** 0.5] = 0
    assert 0 < correlation[2, 3] < correlation[0, 1] < 1
    assert correlation[0, 2] == correlation[1, 3] == 0
    expected = torch.from_numpy(correlation @ correlation) @ direct
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, direct)


def test_what_all_inputs_have_in_common_does_not_say_whose_they_are():
    """Each output depends on inputs of its own, which a common factor correlates with all."""
    num_inputs, of_first = 8, torch.arange(8) % 4 == 0
    x = torch.randn(2000, num_inputs, generator=generator(0))
    x = x + 2 * torch.randn(2000, 1, generator=generator(1))
    graph = UnitGraph.complete(num_inputs, 2, 2)
    layer = SynchronousGraph(graph, Unrolled(3), activation="tanh")
    source, target = graph.edge_index
    hidden = num_inputs + torch.where(of_first, 0, 1)
    own = (source < num_inputs) & (target == hidden[source.clamp(max=num_inputs - 1)])
    own |= (source >= num_inputs) & (target == source + 2)
    with torch.no_grad():
        layer.weight.copy_(torch.where(own, 0.1, 0.0))
    influence = Probe(layer, (x, x[:, :2]), loss=F.mse_loss).influence()
    assert torch.equal(influence[:, 0] > influence[:, 1], of_first)


def test_an_output_that_is_always_the_same_has_no_influence_on_it():
    layer, (x, y) = new_layer(), data()
    last = layer.graph.num_units - 1
    with torch.no_grad():
        layer.weight[layer.graph.edge_index[1] == last] = 0
    influence = Probe(layer, (x, y), loss=F.mse_loss).influence()
    assert (influence[:, -1] == 0).all()
    assert (influence[:, 0] > 0).all()


def test_influence_on_graphs_and_on_images_has_a_row_for_every_input():
    units = UnitGraph.complete(3, 6, 2)
    on_graph = SynchronousConv(units, generator=generator(0))
    x, edge_index = torch.rand(10, 3, generator=generator(1)), torch.tensor([[0, 1, 2], [1, 2, 0]])
    nodes = Data(
        x=x, edge_index=edge_index, y=torch.arange(10) % 2, train_mask=torch.ones(10).bool()
    )
    found = Probe(on_graph, nodes).influence()
    leaf = x.clone().requires_grad_()
    outputs = on_graph(leaf, edge_index)
    slopes = [torch.autograd.grad(outputs[:, o].sum(), leaf, retain_graph=True)[0] for o in (0, 1)]
    scale = x.std(dim=0, correction=0) / outputs.std(dim=0, correction=0).unsqueeze(1)
    expected = torch.stack(slopes).abs().mean(dim=1) * scale
    torch.testing.assert_close(found, (expected / expected.sum(dim=1, keepdim=True)).T.detach())
    images = nn.Sequential(
        SynchronousConv2d(units, generator=generator(0)), nn.AdaptiveMaxPool2d(1)
    )
    model = nn.Sequential(images, nn.Flatten())
    pair = torch.rand(8, 3, 5, 5, generator=generator(2)), torch.arange(8) % 2
    assert Probe(model, pair).influence().shape == (3, 2)


def test_a_layer_may_be_called_by_name():
    class Named(nn.Module):
        def __init__(self, conv):
            super().__init__()
            self.conv = conv

        def forward(self, x, edge_index):
            return self.conv(x=x, edge_index=edge_index)

    conv = SynchronousConv(UnitGraph.complete(3, 6, 2), generator=generator(0))
    x, edge_index = torch.rand(10, 3, generator=generator(1)), torch.tensor([[0, 1], [1, 2]])
    mask = torch.ones(10).bool()
    nodes = Data(x=x, edge_index=edge_index, y=torch.arange(10) % 2, train_mask=mask)
    assert torch.equal(Probe(Named(conv), nodes).influence(), Probe(conv, nodes).influence())


def test_influence_is_of_inputs_as_they_were_and_of_all_calls():
    class Changed(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            x = x.clone()
            y = self.layer(x)
            x.zero_()
            return y

    class Recurrent(Changed):
        def forward(self, x):
            state = torch.zeros_like(x[:, :NUM_OUTPUTS])  # At first, it is the same everywhere.
            for _ in range(2):
                state = self.layer(torch.cat([x[:, NUM_OUTPUTS:], state], dim=1))
            return state

    layer, (x, y) = new_layer(), data()
    expected = Probe(layer, (x, y), loss=F.mse_loss).influence()
    assert torch.equal(Probe(Changed(layer), (x, y), loss=F.mse_loss).influence(), expected)
    assert (Probe(Recurrent(layer), (x, y), loss=F.mse_loss).influence() > 0).all()


def test_a_model_that_does_not_call_its_layer_has_no_influence_to_show():
    layer, (x, y) = new_layer(), data()

    def forward(model, batch):
        return model.states(batch[0])[:, -NUM_OUTPUTS:], batch[1]

    assert Probe(layer, (x, y), loss=F.mse_loss, forward=forward).influence() is None


@pytest.mark.parametrize("batch_size", [1, 16])
def test_influence_does_not_depend_on_how_samples_come_in_batches(batch_size):
    layer, (x, y) = new_layer(), data()
    found, whole = (
        Probe(layer, (x, y), loss=F.mse_loss, batch_size=size, seed=3).influence()
        for size in (batch_size, len(x))
    )
    if batch_size == 1:  # Of which fewer have a backward pass.
        assert (found - whole).abs().max() < 0.1
        assert found.sum(dim=0) == pytest.approx([1, 1], abs=1e-3)
    else:
        torch.testing.assert_close(found, whole)


def test_an_input_that_is_rarely_another_has_its_influence_too():
    layer, (x, _) = new_layer(), data(2000)
    x[:, 0] = 0
    probe = Probe(layer, (x, x[:, :2]), loss=F.mse_loss, seed=3)
    assert (probe.influence()[0] == 0).all()
    order = torch.randperm(len(x), generator=generator(3))
    x[order[1000::100], 0] = 1  # None is among those with a backward pass.
    assert (probe.influence()[0] > 0).all()


def test_on_images_inputs_are_correlated_by_all_images_and_not_by_the_first():
    layer = SynchronousConv2d(UnitGraph.complete(4, 6, 2), generator=generator(0))
    levels = torch.randn(64, 4, 1, 1, generator=generator(1))
    levels[:, 1] = levels[:, 0]  # The same in an image but for noise.
    x = levels + 0.1 * torch.randn(64, 4, 64, 64, generator=generator(2))
    influence = Probe(layer, (x, torch.zeros(64, 2, 64, 64)), loss=F.mse_loss).influence()
    torch.testing.assert_close(influence[0], influence[1], rtol=0.05, atol=0)


@pytest.mark.parametrize(
    "case",
    [
        *("smoothed", "smoothed, weights", "probabilities", "images", "binary", "ignored"),
        *("scaled", "averaged by hand"),
    ],
)
def test_a_loss_that_stays_above_0_counts_from_there(case):
    """The lowest loss is found by hand, sample by sample, from many starts."""
    rand, layer = generator(3), new_layer()
    x = torch.randn(24, NUM_INPUTS, generator=rand)
    y = torch.randint(2, (24,), generator=rand)
    if case == "binary":
        y = torch.rand(24, 2, generator=rand)
        loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 0.5]))
    elif case == "probabilities":
        y, loss = torch.rand(24, 2, generator=rand).softmax(1), F.cross_entropy
    else:
        weight = torch.tensor([1.0, 4.0]) if case == "smoothed, weights" else None
        loss = nn.CrossEntropyLoss(weight, label_smoothing=0.2)
    if case == "scaled":
        loss = lambda outputs, targets: 0.6 * F.cross_entropy(outputs, targets, label_smoothing=0.1)  # noqa: E731
    elif case == "averaged by hand":
        each = nn.CrossEntropyLoss(label_smoothing=0.2, reduction="none")
        loss = lambda outputs, targets: each(outputs, targets).mean()  # noqa: E731
    model, forward = layer, None
    if case == "images":
        y = torch.randint(2, (24, 3), generator=rand)
        model = nn.Sequential(layer, nn.Unflatten(1, (2, 1)))
        forward = lambda model, batch: (model(batch[0]).expand(-1, -1, 3), batch[1])  # noqa: E731
    if case == "ignored":
        y[::5] = -100
    free = torch.zeros(24, 2, *y.shape[1:] if case == "images" else (), requires_grad=True)
    if case == "binary":
        free = torch.zeros(24, 2, requires_grad=True)
    least = lowest(loss, free, y)
    outputs = layer(x).detach()
    outputs = outputs.unsqueeze(2).expand(-1, -1, 3) if case == "images" else outputs
    probe = Probe(model, (x, y), loss=loss, layer=layer, forward=forward, batch_size=7)
    assert least > 0.01
    assert probe(None) == pytest.approx(float(loss(outputs, y)) - least, rel=1e-3)
    assert 0 < probe.chance() < 1


def test_a_sum_of_losses_counts_from_0():
    layer, (x, _) = new_layer(), data()
    y = torch.arange(len(x)) % 2

    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets, label_smoothing=0.1) + outputs.square().mean()

    probe = Probe(layer, (x, y), loss=loss)
    assert probe(None) == pytest.approx(float(loss(layer(x).detach(), y)), rel=1e-5)


def test_a_network_that_knows_smoothed_labels_has_learned_them():
    problem = planted_problem(2, "linear-threshold", num_train=400, seed=1)
    y = problem.train_y[:, 0].long()
    with seeded(1):
        layer = SynchronousGraph(UnitGraph.complete(problem.num_inputs, 16, 2), Unrolled(3))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    fit(layer, (problem.train_x, y), epochs=30, seed=1, loss=loss, learning_rate=1e-2)
    probe = Probe(layer, (problem.train_x, y), loss=loss)
    assert probe(None) < 0.1 * probe.chance()
