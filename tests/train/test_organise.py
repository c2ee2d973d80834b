from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from pyg_modules import (
    ModularGraph,
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.modules import check_independence
from pyg_modules.partition import agreement, cut_fraction, module_sizes, normalized_cut
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.train import Organised, accuracy, fit, organise, seeded
from tests.strategies import generator

SETTINGS = {"epochs": 8, "finetune_epochs": 3, "learning_rate": 0.05, "batch_size": 40}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 3, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    return (x[:80], y[:80]), (x[80:], y[80:])


def new_layer(num_inputs=3, **options):
    with seeded(0):
        return SynchronousGraph(UnitGraph.complete(num_inputs, 12, 2), Unrolled(3), **options)


def same_states(one, other):
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_it_is_a_training_with_a_schedule_a_cut_and_a_training(data):
    train, _ = data
    layer = new_layer()
    organised = organise(layer, train, 3, seed=4, tolerance=0.2, ncut=0.5, balance=2.0, **SETTINGS)

    by_hand = new_layer()
    regularizer = PartitionRegularizer(by_hand, 3, ncut=0.5, balance=2.0)
    schedule = PartitionSchedule(regularizer, 8, tolerance=0.2, seed=4)
    options = {"seed": 4, "learning_rate": 0.05, "batch_size": 40}
    history = fit(by_hand, train, epochs=8, schedule=schedule, **options)
    labels = schedule.labels()
    modular = cut(by_hand, labels)
    losses = {"uncut": by_hand, "cut": cut(by_hand, labels), "finetuned": modular}
    finetuning = fit(modular, train, epochs=3, **options)

    assert isinstance(organised, Organised)
    assert organised.uncut is layer
    assert same_states(layer, by_hand)
    assert organised.network is organised.layer
    assert organised.layer.graph == modular.graph
    assert same_states(organised.layer, modular)
    assert torch.equal(organised.labels, labels)
    assert torch.equal(organised.layer.labels, labels)
    assert organised.history[:8] == history
    assert [record.losses for record in organised.history[8:]] == [
        record.losses for record in finetuning
    ]
    phases = [record.phase for record in organised.history]
    assert phases == [record.phase for record in history] + ["cut"] * 3

    edges = by_hand.graph.edge_index, by_hand.weight, labels
    assert organised.normalized_cut == normalized_cut(*edges)
    assert organised.cut_fraction == cut_fraction(*edges)
    assert organised.module_sizes == module_sizes(labels)
    assert organised.loss.keys() == organised.accuracy.keys() == losses.keys()
    for when, network in losses.items():
        assert organised.accuracy[when] == accuracy(network, *train)
        with torch.no_grad():
            loss = F.cross_entropy(network(train[0]), train[1])
        assert organised.loss[when] == pytest.approx(float(loss), rel=1e-5)
    assert organised.accuracy["finetuned"] > 0.9


def test_modules_are_independent_and_balanced(data):
    organised = organise(new_layer(), data[0], 3, tolerance=0.0, **SETTINGS)
    assert organised.module_sizes == [4, 4, 4]
    x = data[1][0]
    assert check_independence(organised.layer, x[:4], steps=3).paths == 0
    torch.testing.assert_close(
        sum(part(x) for part in split(organised.network)), organised.network(x)
    )


def test_a_seed_fixes_everything(data):
    def organised(seed, drawn):
        torch.manual_seed(drawn)
        return organise(new_layer(), data[0], 2, seed=seed, **SETTINGS)

    first, again, other = organised(0, 1), organised(0, 2), organised(3, 1)
    assert same_states(first.layer, again.layer)
    for field in fields(Organised):
        if field.name not in ("network", "layer", "uncut", "labels", "verdict"):
            assert getattr(first, field.name) == getattr(again, field.name)
    assert str(first.verdict) == str(again.verdict)
    assert torch.equal(first.verdict.labels, first.labels)
    assert not torch.equal(first.uncut.weight, other.uncut.weight)


def test_figures_are_those_of_the_validation_data_if_there_is_some(data):
    train, (x, y) = data
    organised = organise(new_layer(), train, 2, validation_data=(x, y), **SETTINGS)
    assert all("validation" in record.losses for record in organised.history)
    assert organised.accuracy["uncut"] == accuracy(organised.uncut, x, y)
    assert organised.accuracy["cut"] == accuracy(cut(organised.uncut, organised.labels), x, y)
    assert organised.accuracy["finetuned"] == accuracy(organised.layer, x, y)
    assert organised.loss["uncut"] == organised.history[7].losses["validation"]
    assert organised.loss["finetuned"] == organised.history[-1].losses["validation"]


def test_without_finetuning_epochs_nothing_is_cut(data):
    layer = new_layer()
    options = SETTINGS | {"finetune_epochs": None}
    organised = organise(layer, data[0], 2, **options)
    assert organised.network is organised.layer is organised.uncut is layer
    assert layer.labels is None
    assert layer.graph == new_layer().graph
    assert len(organised.history) == 8
    assert organised.loss.keys() == organised.accuracy.keys() == {"uncut"}
    at_once = organise(new_layer(), data[0], 2, **SETTINGS | {"finetune_epochs": 0})
    assert torch.equal(at_once.labels, organised.labels)
    assert same_states(at_once.layer, cut(layer, organised.labels))
    assert at_once.loss["cut"] == at_once.loss["finetuned"]
    assert len(at_once.history) == 8


class Model(nn.Module):
    """The layer between others, under two names."""

    def __init__(self):
        super().__init__()
        with seeded(0):
            self.before = nn.Linear(3, 5)
            self.parts = nn.ModuleDict({"after": nn.Sequential(nn.ReLU(), new_layer(5))})
        self.same = self.parts["after"][1]

    def forward(self, x):
        return self.parts["after"](self.before(x))


def test_the_layer_inside_a_model_is_replaced_by_the_cut_one(data):
    model = Model()
    layer, linear = model.same, model.before
    start = linear.weight.detach().clone()
    organised = organise(model, data[0], 2, **SETTINGS)
    assert organised.network is model
    assert model.parts["after"][1] is model.same is organised.layer
    assert organised.layer.labels is not None
    assert organised.uncut is layer
    assert layer.labels is None
    assert model.before is linear
    assert not torch.equal(linear.weight, start)
    assert organised.accuracy["finetuned"] == accuracy(model, *data[0]) > 0.9
    assert not model.training


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        with seeded(0):
            self.conv = GCNConv(4, 6)
            self.update = new_layer(6)

    def forward(self, x, edge_index):
        return self.update(self.conv(x, edge_index).relu())


def test_a_model_of_pyg_is_organised_on_a_graph_with_masks():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(2).repeat_interleave(40)
    edge_index = torch.randint(40, (2, 300), generator=generator)
    graph = Data(
        torch.randn(80, 4, generator=generator) + y[:, None],
        torch.cat([edge_index, edge_index + 40], dim=1),
        y=y,
    )
    order = torch.rand(80, generator=generator)
    graph.train_mask, graph.val_mask = order < 0.5, order >= 0.5
    model = Convolution()
    options = {"epochs": 40, "finetune_epochs": 10, "learning_rate": 0.02}
    organised = organise(model, graph, 3, validation_data=graph, **options)
    assert model.update is organised.layer
    assert organised.module_sizes == [4, 4, 4]
    predicted = model(graph.x, graph.edge_index).argmax(dim=1)
    right = (predicted == y)[graph.val_mask].float().mean()
    assert organised.accuracy["finetuned"] == pytest.approx(float(right))
    assert right > 0.9


def test_scope_capacities_and_regression():
    problem = planted_problem(2, "product", num_train=100, num_test=1)
    graph = UnitGraph.complete(problem.num_inputs, 10, 2)
    capacities = [10, 14]
    assert graph.num_units == sum(capacities)
    organised = organise(
        SynchronousGraph(graph, Unrolled(2)),
        problem,
        2,
        scope="all",
        capacities=capacities,
        tolerance=0.0,
        loss=F.mse_loss,
        **SETTINGS,
    )
    assert organised.module_sizes == capacities
    assert organised.accuracy == {}
    assert organised.loss["finetuned"] < organised.loss["cut"]
    assert set(agreement(organised.labels, problem.owners(10))) >= {"ari"}


def test_epochs_are_counted_on_after_the_cut(data):
    told = []
    organised = organise(
        new_layer(), data[0], 2, on_epoch=lambda *epoch: told.append(epoch), **SETTINGS
    )
    assert told == list(enumerate((record.losses for record in organised.history), start=1))


def test_patience_and_the_best_weights_count_after_the_cut(data):
    train, validation = data
    options = SETTINGS | {"finetune_epochs": 40, "learning_rate": 0.1, "one_cycle": False}
    organised = organise(
        new_layer(),
        train,
        2,
        validation_data=validation,
        patience=2,
        restore_best_weights=True,
        **options,
    )
    losses = [record.losses["validation"] for record in organised.history[8:]]
    best = losses.index(min(losses))
    assert len(organised.history) >= 8 + 3
    assert len(losses) == best + 1 + 2 < 40
    assert organised.loss["finetuned"] == losses[best]


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (nn.Linear(3, 2), r"one SynchronousGraph in it \(got none\)"),
        (
            nn.Sequential(new_layer(), nn.ReLU(), new_layer(2)),
            r"one SynchronousGraph in it \(got '0', '2'\). Use fit with a list of schedules",
        ),
    ],
)
def test_a_model_without_the_layer_or_with_several_is_refused(data, model, match):
    with pytest.raises(ValueError, match=match):
        organise(model, data[0], 2, **SETTINGS)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"momentum": 0.9}, TypeError, "unexpected keyword argument 'momentum'"),
        ({"schedule": None}, TypeError, "'schedule'.*organise makes its own"),
        ({"seed": None}, TypeError, "seed to be an int"),
        ({"batch_size": -1}, ValueError, "batch_size >= 1"),
        ({"sharpness": -1.0}, ValueError, "sharpness >= 0"),
        ({"num_modules": 13}, ValueError, "num_modules"),
        ({"epochs": 0}, ValueError, r"epochs >= 1 \(got 0\)"),
        ({"finetune_epochs": -1}, ValueError, r"finetune_epochs >= 0 \(got -1\)"),
        ({"finetune_epochs": None, "patience": 2}, ValueError, "Expected finetune_epochs"),
        ({"finetune_epochs": 0, "patience": 2}, ValueError, r"finetune_epochs.*\(got 0\)"),
        ({"restore_best_weights": True}, ValueError, "Expected validation_data"),
        ({"scope": "some"}, ValueError, "got 'some'"),
        ({"data": "digits"}, TypeError, r"a pair \(x, y\).*got str"),
        ({"validation_data": 3}, TypeError, r"validation data that is a pair.*got int"),
        ({"model": UnitGraph.complete(3, 4, 2)}, TypeError, r"SynchronousGraph\(graph\)"),
        (
            {"model": cut(new_layer(), torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2))},
            ValueError,
            "not cut yet",
        ),
    ],
)
def test_bad_arguments_are_refused_before_the_training(data, options, error, match):
    layer = new_layer()
    arguments = {"model": layer, "data": data[0], "num_modules": 2} | SETTINGS | options
    with pytest.raises(error, match=match):
        organise(**arguments)
    assert same_states(layer, new_layer())


class Aliased(nn.Module):
    """Computes with its layer by a way that does not know its name."""

    def __init__(self, called):
        super().__init__()
        self.layer = new_layer()
        self.called = called(self.layer)

    def forward(self, x):
        return self.called[0](x)


class Unused(nn.Sequential):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(3), nn.Linear(3, 2))
        self.layer = new_layer()

    def forward(self, x):
        return self[1](self[0](x))


@pytest.mark.parametrize(
    "model",
    [
        lambda: Aliased(lambda layer: [layer]),
        lambda: Aliased(lambda layer: (layer.forward,)),
        lambda: torch.compile(new_layer(), backend="eager"),
        Unused,
    ],
)
def test_a_model_that_would_not_compute_with_the_cut_layer_is_refused(data, model):
    with seeded(0):
        refused, fresh = model(), None
    with seeded(0):
        fresh = model()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="a model that computes with the layer under"):
        organise(refused, data[0], 2, **SETTINGS)
    # Nothing was trained or drawn.
    assert same_states(refused, fresh)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_look_at_a_batch_changes_no_number(data):
    x, y = data[0]

    def loader():
        generator = torch.Generator().manual_seed(2)
        return DataLoader(TensorDataset(x, y), 16, shuffle=True, generator=generator)

    with seeded(0):
        models = [nn.Sequential(nn.BatchNorm1d(3), new_layer(), nn.Dropout(0.2)) for _ in range(2)]
    options = {"learning_rate": 0.02, "seed": 0}
    torch.manual_seed(1)
    settings = {"epochs": 8, "finetune_epochs": None} | options
    organised = organise(models[0], loader(), 3, **settings)
    with seeded(5):
        schedule = PartitionSchedule(PartitionRegularizer(models[1][1], 3), 8)
    torch.manual_seed(1)
    history = fit(models[1], loader(), epochs=8, schedule=schedule, **options)
    assert organised.history == history
    assert same_states(*models)


def test_a_layer_that_is_in_no_list_of_torch_is_to_be_registered(data):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [new_layer()]

    with pytest.raises(ValueError, match=r"got none\). Make it an attribute.*ModuleList"):
        organise(Hidden(), data[0], 2, **SETTINGS)


def test_coefficients_and_the_affinity_go_to_the_regularizer(data):
    coefficients = {"ncut": 0.5, "cost_balance": 0.3, "sharpness": 0.2}
    organised = organise(new_layer(), data[0], 3, affinity="square", **coefficients, **SETTINGS)
    by_hand = new_layer()
    regularizer = PartitionRegularizer(by_hand, 3, affinity="square", **coefficients)
    schedule = PartitionSchedule(regularizer, 8)
    fit(by_hand, data[0], epochs=8, seed=0, schedule=schedule, learning_rate=0.05, batch_size=40)
    assert same_states(organised.uncut, by_hand)
    assert organised.history[7].losses.keys() >= {"ncut", "balance", "cost_balance", "sharpness"}


def test_the_global_generator_stays_where_it_was(data):
    layer = new_layer()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    organise(layer, data[0], 2, **SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)


def test_in_threads_every_layer_is_what_it_is_alone(data):
    def organised(seed):
        layer = SynchronousGraph(
            UnitGraph.complete(3, 8, 2), Unrolled(2), generator=torch.Generator().manual_seed(seed)
        )
        return organise(layer, data[0], 2, **SETTINGS | {"seed": seed}).layer

    alone = [organised(seed) for seed in range(4)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(organised, range(4)))
    assert all(map(same_states, together, alone))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_of_what_was_organised_makes_a_network_that_can_be_split(data):
    organised = organise(new_layer(), data[0], 2, **SETTINGS)
    layer = organised.layer
    fresh = SynchronousGraph(layer.graph, layer.solver)
    fresh.load_state_dict(organised.network.state_dict())
    assert torch.equal(fresh.labels, organised.labels)
    x = data[1][0]
    assert torch.equal(ModularGraph(split(fresh))(x), ModularGraph(split(layer))(x))


def test_terms_of_a_sum_are_found_and_learned_better_than_by_one_network():
    """One output: only modules with inputs of their own can be told apart."""
    x = torch.rand(1500, 6, generator=generator(1)) * 3.4 - 1.7
    # Inputs in turn.
    y = torch.stack([torch.sin(1.2 * x[:, term::2].sum(dim=1)) for term in (0, 1)]).sum(dim=0)
    y = y.unsqueeze(1) + 0.3 * torch.randn(1500, 1, generator=generator(2))
    layer = SynchronousGraph(UnitGraph.complete(6, 32, 1), Unrolled(3), generator=generator(3))
    train, test = (x[:500], y[:500]), (x[500:], y[500:])
    options = {"loss": F.mse_loss, "weight_decay": 0.3, "batch_size": 25, "seed": 0}
    organised = organise(layer, train, 2, epochs=60, finetune_epochs=60, scope="inputs", **options)
    assert agreement(organised.labels[:6], torch.arange(6) % 2)["ari"] == 1
    assert organised.labels[-1] == -1
    assert Liveliness.of(layer.graph, organised.labels, 3).num_dead == 0
    fit(layer, train, epochs=60, **options)
    errors = [F.mse_loss(one(test[0]), test[1]).item() for one in (organised.network, layer)]
    assert errors[0] < errors[1]
    # No module reads an input of another.
    independence = check_independence(organised.network, x=x[:100])
    assert (independence.paths, independence.max_cross_jacobian) == (0, 0)
    whole = sum(part(x) for part in split(organised.network))
    torch.testing.assert_close(whole, organised.network(x), rtol=0, atol=1e-5)
