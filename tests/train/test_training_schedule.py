import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.structure import SparseSchedule
from pyg_modules.train import EdgeGradient, Schedule, fit, seeded
from tests.strategies import KnowsItsTask


class L1:
    """The sum of the magnitudes of a weight, from an epoch on."""

    def __init__(self, weight, coefficient, first=0, name="l1"):
        self.weight, self.coefficient = weight, coefficient
        self.first, self.name = first, name
        self.steps = []

    def step(self, epoch):
        self.steps.append(epoch)

    def penalties(self):
        if self.steps[-1] < self.first:
            return {}
        return {self.name: (self.coefficient, self.weight.abs().sum())}

    def parameters(self):
        return []


class Learned(L1):
    """The distance of a weight from a number that is trained."""

    epochs = 4

    def __init__(self, weight, coefficient):
        super().__init__(weight, coefficient, name="distance")
        self.center = nn.Parameter(torch.tensor(0.5))

    def penalties(self):
        return {self.name: (self.coefficient, (self.weight - self.center).square().sum())}

    def parameters(self):
        return [self.center]

    def phase(self, epoch):
        return "ramp" if epoch < 2 else "full"


def data():
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > x[:, 1]).long()


def linear():
    with seeded(0):
        return nn.Linear(2, 2)


SETTINGS = {"epochs": 4, "seed": 0, "batch_size": 40, "learning_rate": 0.05}


def by_hand(epochs, coefficients):
    """The same training in a loop of its own, with the penalties of every epoch."""
    model, center = linear(), nn.Parameter(torch.tensor(0.5))
    x, y = data()
    optimizer = torch.optim.AdamW(
        [
            {"params": list(model.parameters()), "weight_decay": 0.1, "lr": 0.05},
            {"params": [center], "weight_decay": 0.0, "lr": 0.05},
        ]
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.05, 0.05], total_steps=epochs)
    generator, records = torch.Generator().manual_seed(0), []
    for epoch in range(epochs):
        order = torch.randperm(40, generator=generator)
        terms = {
            "task": F.cross_entropy(model(x[order]), y[order]),
            "l1": model.weight.abs().sum(),
            "distance": (model.weight - center).square().sum(),
        }
        on = {"task": 1.0} | coefficients(epoch)
        optimizer.zero_grad()
        sum(coefficient * terms[name] for name, coefficient in on.items()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        records.append({name: terms[name].item() for name in on})
    return model, center, records


def test_any_object_with_the_three_methods_is_a_schedule():
    model = linear()
    schedule = L1(model.weight, 0.3, first=2)
    assert isinstance(schedule, Schedule)
    history = fit(model, data(), schedule=schedule, **SETTINGS)
    expected, _, records = by_hand(4, lambda epoch: {"l1": 0.3} if epoch >= 2 else {})
    assert schedule.steps == [0, 1, 2, 3]
    assert torch.equal(model.weight, expected.weight)
    assert [record.losses for record in history] == records
    assert {record.phase for record in history} == {"free"}


def test_two_schedules_add_up_and_train_what_is_theirs():
    model = linear()
    learned = Learned(model.weight, 0.2)
    history = fit(model, data(), schedule=[L1(model.weight, 0.3), learned], **SETTINGS)
    expected, center, records = by_hand(4, lambda _: {"l1": 0.3, "distance": 0.2})
    torch.testing.assert_close(model.weight, expected.weight)
    torch.testing.assert_close(learned.center, center)
    assert learned.center != 0.5
    for record, expected_losses in zip(history, records, strict=True):
        assert record.losses == pytest.approx(expected_losses)
    assert [record.phase for record in history] == ["ramp", "ramp", "full", "full"]


def test_terms_of_one_name_are_added_up_in_the_history():
    models = linear(), linear()
    one = fit(models[0], data(), schedule=[L1(models[0].weight, 0.3)], **SETTINGS)
    halves = [L1(models[1].weight, 0.15) for _ in range(2)]
    two = fit(models[1], data(), schedule=halves, **SETTINGS)
    for record, doubled in zip(one, two, strict=True):
        assert doubled.losses["l1"] == pytest.approx(2 * record.losses["l1"])
    torch.testing.assert_close(models[0].weight, models[1].weight)


def test_two_layers_of_a_model_are_organised_at_once():
    with seeded(0):
        model = nn.Sequential(
            SynchronousGraph(UnitGraph.complete(2, 8, 4)),
            SynchronousGraph(UnitGraph.complete(4, 8, 2)),
        )
        schedules = tuple(
            PartitionSchedule(PartitionRegularizer(part, 2), 8, probe=KnowsItsTask())
            for part in model
        )
    history = fit(model, data(), schedule=schedules, **SETTINGS | {"epochs": 8})
    assert list(history[-1].losses) == ["task", "ncut", "balance"]
    assert [record.phase for record in history] == ["free"] * 2 + ["ramp"] + ["full"] * 5
    for schedule in schedules:
        labels = schedule.labels()
        assert labels[labels >= 0].bincount().tolist() == [4, 4]


def test_a_partition_schedule_says_what_its_regularizer_does():
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 2))
    regularizer = PartitionRegularizer(layer, 2, ncut=0.7, balance=2.0)
    schedule = PartitionSchedule(regularizer, 20, probe=KnowsItsTask())
    assert isinstance(schedule, Schedule)
    assert list(map(id, schedule.parameters())) == [id(regularizer.logits)]
    schedule.step(0)
    assert schedule.penalties() == {}
    schedule.step(10)
    for epoch, strength in ((11, 0.5), (12, 1.0)):
        schedule.step(epoch)
        penalties = schedule.penalties()
        assert {name: weight for name, (weight, _) in penalties.items()} == {
            "ncut": strength * 0.7,
            "balance": strength * 2.0,
        }
        total = sum(weight * loss for weight, loss in penalties.values())
        torch.testing.assert_close(total, regularizer())


def test_a_regularizer_is_no_schedule():
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 2))
    regularizer = PartitionRegularizer(layer, 2)
    for schedule in (regularizer, [regularizer]):
        with pytest.raises(
            TypeError,
            match=r"got a PartitionRegularizer\).*PartitionSchedule\(regularizer, epochs=4",
        ):
            fit(layer, data(), schedule=schedule, **SETTINGS)


@pytest.mark.parametrize("schedule", [PartitionSchedule, "linear", nn.Linear(2, 2), [None]])
def test_what_lacks_a_method_is_no_schedule(schedule):
    with pytest.raises(TypeError, match=r"with step\(epoch\), penalties\(\) and parameters\(\)"):
        fit(linear(), data(), schedule=schedule, **SETTINGS)


def test_the_epochs_of_any_schedule_are_those_of_the_training():
    model = linear()
    with pytest.raises(ValueError, match=r"epochs=4, those of the schedule \(got 5\)"):
        fit(model, data(), schedule=Learned(model.weight, 0.2), **SETTINGS | {"epochs": 5})


class WeightsOfAnMLP:
    """A view on the weights of two linear levels as a unit graph to partition."""

    labels = None

    def __init__(self, mlp):
        self.mlp = mlp
        self.graph = UnitGraph.layered([2, 6, 2])
        self.device = mlp[0].weight.device

    def edge_weight(self):
        return torch.cat([self.mlp[0].weight.flatten(), self.mlp[2].weight.flatten()])


def test_weights_of_any_model_are_organised_through_a_view_on_them():
    with seeded(0):
        mlp = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
        regularizer = PartitionRegularizer(WeightsOfAnMLP(mlp), 2, scope="all", ncut=3.0)
    schedule = PartitionSchedule(regularizer, epochs=40, probe=KnowsItsTask())
    history = fit(mlp, data(), epochs=40, seed=0, learning_rate=0.02, schedule=schedule)
    assert {record.phase for record in history} == {"free", "ramp", "full"}
    assert history[-1].losses["ncut"] < 0.9 * history[13].losses["ncut"]


@pytest.mark.parametrize("options", [{"patience": 1}, {"restore_best_weights": True}])
def test_a_schedule_without_a_last_epoch_may_be_ended_early(options):
    model = linear()
    schedule = L1(model.weight, 0.1)
    schedule.epochs = None
    history = fit(model, data(), schedule=schedule, validation_data=data(), **SETTINGS, **options)
    assert all("l1" in record.losses for record in history)


def test_schedules_are_different_and_train_different_parameters():
    model = linear()
    one, other = Learned(model.weight, 0.2), Learned(model.weight, 0.1)
    with pytest.raises(ValueError, match=r"every schedule once.*got a Learned twice"):
        fit(model, data(), schedule=[one, one], **SETTINGS)
    other.center = one.center
    with pytest.raises(ValueError, match=r"every parameter in one of them \(got a Parameter twice"):
        fit(model, data(), schedule=[one, other], **SETTINGS)


@pytest.mark.parametrize("name", ["task", "validation"])
def test_a_penalty_does_not_take_the_name_of_a_loss_in_the_history(name):
    model = linear()
    with pytest.raises(ValueError, match=f"got '{name}'"):
        fit(model, data(), schedule=L1(model.weight, 0.1, name=name), **SETTINGS)


@pytest.mark.parametrize(
    "penalties",
    [
        lambda weight: weight.abs().sum(),
        lambda weight: {"l1": weight.abs().sum()},
        lambda weight: {"l1": (0.1, weight.abs())},
        lambda weight: {"l1": (0.1, weight.abs().sum().item())},
        lambda _: None,
    ],
)
def test_penalties_that_are_no_scalars_with_coefficients_are_refused(penalties):
    model = linear()
    schedule = L1(model.weight, 0.1)
    schedule.penalties = lambda: penalties(model.weight)
    with pytest.raises(TypeError, match=r"from names to \(coefficient, scalar tensor\)"):
        fit(model, data(), schedule=schedule, **SETTINGS)
    assert torch.equal(model.weight, linear().weight)


def test_a_phase_is_one_that_can_be_drawn():
    model = linear()
    schedule = L1(model.weight, 0.1)
    schedule.phase = lambda _: "warm"
    with pytest.raises(ValueError, match=r"one of 'free', 'ramp', 'full', 'cut' \(got 'warm'\)"):
        fit(model, data(), schedule=schedule, **SETTINGS)
    schedule.phase = "free"
    with pytest.raises(TypeError, match=r"phase\(epoch\)"):
        fit(model, data(), schedule=schedule, **SETTINGS)


def test_several_schedules_come_as_a_list():
    model = linear()
    with pytest.raises(TypeError, match="or a list of them"):
        fit(model, data(), schedule=(L1(model.weight, 0.1) for _ in range(2)), **SETTINGS)


def test_gradients_of_edges_are_those_of_the_training_and_gone_after_it():
    x, y = torch.randn(32, 3), torch.arange(32) % 2
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    schedule = SparseSchedule(layer, 2, num_edges=60)
    fit(layer, (x, y), epochs=2, seed=0, schedule=schedule)
    assert layer.graph.num_edges == 60
    assert (schedule.gradient, schedule.optimizer) == (None, None)
    given = SparseSchedule(layer, 2, num_edges=50, gradient=EdgeGradient(layer, (x, y)))
    own = given.gradient
    fit(layer, (x, y), epochs=2, seed=0, schedule=given)
    assert given.gradient is own
