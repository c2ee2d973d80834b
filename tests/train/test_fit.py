from types import SimpleNamespace
from unittest.mock import patch

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.datasets import Dataset
from pyg_modules.train import DivergedError, accuracy, fit, seeded
from tests.strategies import KnowsItsTask


@pytest.fixture
def data():
    rand = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=rand)
    x = x[(x[:, 0] - x[:, 1]).abs() > 0.3][:100]
    y = (x[:, 0] > x[:, 1]).long()
    return Dataset("half-planes", x[:80], y[:80], x[80:], y[80:])


def linear(seed=0):
    with seeded(seed):
        return nn.Linear(2, 2)


def test_a_separable_task_is_learned_and_the_model_left_in_evaluation_mode(data):
    model = linear()
    fit(model, data, epochs=30, seed=0, learning_rate=0.1, batch_size=16)
    assert accuracy(model, data.test_x, data.test_y) == 1.0
    assert not model.training


def test_the_same_seed_gives_the_same_weights(data):
    models = [linear(), linear(), linear()]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        fit(model, data, epochs=2, seed=seed, batch_size=16)
    assert torch.equal(models[0].weight, models[1].weight)
    assert not torch.equal(models[0].weight, models[2].weight)


def test_the_terms_of_a_schedule_are_added_and_reported_when_they_are_on(data):
    with seeded(0):
        layer = SynchronousGraph(UnitGraph.complete(2, 8, 2))
        regularizer = PartitionRegularizer(layer, 2, balance=0.0)
    schedule = PartitionSchedule(regularizer, epochs=80, probe=KnowsItsTask())
    weight, logits = layer.weight.clone(), regularizer.logits.clone()
    reports = []
    history = fit(
        layer,
        data,
        epochs=80,
        seed=0,
        schedule=schedule,
        on_epoch=lambda epoch, losses: reports.append((epoch, losses)),
    )
    assert [epoch for epoch, _ in reports] == list(range(1, 81))
    # Off until three tenths, and of coefficient 0 where the ramp begins.
    assert [list(losses) for _, losses in reports] == [["task"]] * 25 + [["task", "ncut"]] * 55
    assert [record.losses for record in history] == [losses for _, losses in reports]
    assert [record.phase for record in history] == ["free"] * 24 + ["ramp"] * 8 + ["full"] * 48
    assert reports[-1][1]["ncut"] < 0.7 * reports[25][1]["ncut"]
    assert not torch.equal(layer.weight, weight)
    assert not torch.equal(regularizer.logits, logits)


def test_a_schedule_for_another_number_of_epochs_is_refused(data):
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 2))
    schedule = PartitionSchedule(PartitionRegularizer(layer, 2), epochs=10)
    for epochs in (0, 5):
        with pytest.raises(ValueError, match=rf"epochs=10, those of the schedule \(got {epochs}\)"):
            fit(layer, data, epochs=epochs, seed=0, schedule=schedule)


def test_a_training_of_which_the_last_step_diverges_says_so(data):
    with pytest.raises(DivergedError, match=r"'at last': nan} in epoch 1\): the training div"):
        fit(
            nn.Sequential(linear(), linear()),
            data,
            epochs=1,
            seed=0,
            one_cycle=False,
            learning_rate=1e38,
            batch_size=len(data.train_x),
        )


def test_a_training_that_diverged_by_weight_decay_names_it(data):
    match = r"Lower learning_rate \(0\.01\) or weight_decay \(600\): a step takes their product"
    with pytest.raises(DivergedError, match=match):
        fit(
            linear(), data, epochs=80, seed=0, one_cycle=False, learning_rate=0.01, weight_decay=600
        )


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_training_without_gradients_is_refused(data, off):
    model = linear()
    before = model.weight.detach().clone()
    with off(), pytest.raises(RuntimeError, match=r"Expected gradients.*Train outside of it"):
        fit(model, data, epochs=1, seed=0)
    assert torch.equal(model.weight, before)


def test_weights_of_classes_that_do_not_fit_are_refused(data):
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64)
    expected = (
        r"class weights that are torch\.float32, .*float64\)\. Use weight\.to\(torch\.float32\)"
    )
    for loss in (
        nn.CrossEntropyLoss(weight),
        lambda out, y: nn.CrossEntropyLoss(weight)(out, y + 0),
    ):
        with pytest.raises(TypeError, match=expected):
            fit(linear(), data, epochs=1, seed=0, loss=loss)
    with pytest.raises(ValueError, match=r"class weights \[2\], .*\(got \[3\]\)\. Give one for"):
        fit(linear(), data, epochs=1, seed=0, loss=nn.CrossEntropyLoss(torch.ones(3)))


def test_weights_of_classes_count_in_wide_dtypes_where_torch_takes_them(data):
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64)
    shares = torch.nn.functional.one_hot(data.train_y, 2).float()
    pair = (data.train_x, shares)
    fit(linear(), pair, epochs=1, seed=0, loss=nn.CrossEntropyLoss(weight))


def test_a_training_that_diverged_stops_and_says_so(data):
    with pytest.raises(DivergedError, match=r"finite losses \(got .*nan.*Lower learning_rate"):
        fit(
            nn.Sequential(linear(), linear()),
            SimpleNamespace(train_x=data.train_x * 1e30, train_y=data.train_y),
            epochs=20,
            seed=0,
            learning_rate=1e30,
        )


def test_another_loss_is_minimised(data):
    model = nn.Linear(2, 1)
    target = data.train_x @ torch.tensor([[2.0], [-1.0]])
    regression = SimpleNamespace(train_x=data.train_x, train_y=target)
    fit(
        model,
        regression,
        epochs=200,
        seed=0,
        loss=nn.functional.mse_loss,
        learning_rate=0.05,
        one_cycle=False,
        weight_decay=0.0,
    )
    torch.testing.assert_close(model.weight, torch.tensor([[2.0, -1.0]]), rtol=0, atol=0.01)


def test_no_epochs_leave_the_model_as_it_is(data):
    model = linear()
    assert fit(model, data, epochs=0, seed=0) == []
    assert torch.equal(model.weight, linear().weight)


def test_seeded_leaves_the_global_generator_where_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1):
        assert torch.equal(torch.rand(3), inside)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, r"batch_size >= 1 \(got 0\)"),
        ({"epochs": -1}, ValueError, r"epochs >= 0 \(got -1\)"),
        ({"learning_rate": -0.1}, ValueError, "learning_rate > 0"),
        ({"weight_decay": "0.1"}, TypeError, "weight_decay to be a number"),
        ({"seed": None}, TypeError, "seed to be an int"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
        ({"seed": 2**63}, ValueError, r"seed <= 9223372036854775807"),
        ({"forward": "graph"}, TypeError, "forward that can be called"),
        ({"on_epoch": 3}, TypeError, "on_epoch that can be called"),
        ({"model": UnitGraph.complete(2, 4, 2)}, TypeError, r"SynchronousGraph\(graph\)"),
    ],
)
def test_bad_settings_are_refused(data, settings, error, match):
    with pytest.raises(error, match=match):
        fit(**{"model": linear(), "data": data, "epochs": 1, "seed": 0, **settings})


def test_a_seed_may_be_that_of_numpy(data):
    models = linear(), linear()
    for model, seed in zip(models, (3, numpy.int64(3)), strict=True):
        fit(model, data, epochs=2, seed=seed, batch_size=16)
    assert torch.equal(models[0].weight, models[1].weight)


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_data_that_are_not_finite_are_blamed_and_not_the_learning_rate(data, part, value):
    x = data.train_x.clone()
    x[70, 1] = value
    pairs = {"training": (data.train_x, data.train_y), "validation": (data.test_x, data.test_y)}
    pairs[part] = x, data.train_y
    with pytest.raises(DivergedError, match="the data holds NaN or infinity"):
        fit(
            linear(),
            pairs["training"],
            epochs=2,
            seed=0,
            batch_size=8,
            validation_data=pairs["validation"],
        )


def test_a_training_of_one_step_changes_the_model(data):
    model = linear()
    fit(model, data, epochs=1, seed=0, batch_size=80, learning_rate=0.1, weight_decay=0.0)
    # AdamW steps by the learning rate at first.
    torch.testing.assert_close((model.weight - linear().weight).abs(), torch.full((2, 2), 0.1))


@pytest.mark.parametrize("kind", [lambda *pair: pair, TensorDataset])
def test_a_sample_alone_in_its_batch_is_named_where_it_is_normalized(data, kind):
    model = nn.Sequential(nn.BatchNorm1d(2), linear())
    with pytest.raises(ValueError, match=r"the last sample is alone.*another batch_size"):
        fit(model, kind(data.train_x[:17], data.train_y[:17]), epochs=1, seed=0, batch_size=16)


def test_a_batch_whose_targets_are_all_ignored_is_named():
    x, y = torch.randn(16, 2), torch.zeros(16, dtype=torch.long)
    y[8:] = -100
    loader = DataLoader(TensorDataset(x, y), 8)
    with pytest.raises(DivergedError, match="a batch has no target that counts, but only such as"):
        fit(linear(), loader, epochs=1, seed=0)


def test_another_dtype_than_that_of_the_model_is_named(data):
    with pytest.raises(
        TypeError, match=r"torch.float32, as the model \(got a batch of torch.float64"
    ):
        fit(linear(), (data.train_x.double(), data.train_y), epochs=1, seed=0)


def test_a_model_without_parameters_is_refused(data):
    frozen = linear().requires_grad_(False)
    for model in (nn.Identity(), frozen):
        with pytest.raises(ValueError, match=r"a model with parameters to train \(got none\)"):
            fit(model, data, epochs=1, seed=0)


def test_data_without_a_sample_are_refused(data):
    none = SimpleNamespace(train_x=data.train_x[:0], train_y=data.train_y[:0])
    with pytest.raises(ValueError, match="at least one training sample"):
        fit(linear(), none, epochs=1, seed=0)


def test_a_schedule_of_another_layer_is_refused(data):
    layers = [SynchronousGraph(UnitGraph.complete(2, 8, 2)) for _ in range(2)]
    schedule = PartitionSchedule(PartitionRegularizer(layers[1], 2), epochs=4)
    with pytest.raises(ValueError, match="regularizer of a layer of the model"):
        fit(nn.Sequential(layers[0]), data, epochs=4, seed=0, schedule=schedule)


class WithRegularizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = SynchronousGraph(UnitGraph.complete(2, 8, 2))
        self.layer.reset_parameters(torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(0)
        self.regularizer = PartitionRegularizer(self.layer, 2, generator=generator)

    def forward(self, x):
        return self.layer(x)


def test_a_regularizer_inside_the_model_is_trained_as_one_beside_it(data):
    inside, beside = WithRegularizer(), WithRegularizer()
    for network, model in ((inside, inside), (beside, beside.layer)):
        schedule = PartitionSchedule(network.regularizer, 4)
        fit(model, data, epochs=4, seed=0, schedule=schedule)
    for name, value in inside.state_dict().items():
        assert torch.equal(value, beside.state_dict()[name])


def test_seeded_for_a_device_leaves_the_others_alone():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with patch("torch.cuda.manual_seed_all") as of_all_gpus:
        with seeded(1, "cpu"):
            drawn = torch.rand(2)
        of_all_gpus.assert_not_called()
    assert torch.equal(torch.rand(2), expected)
    with seeded(1):
        assert torch.equal(torch.rand(2), drawn)


def test_a_batch_whose_targets_are_all_ignored_is_named_in_whichever_order():
    x = torch.randn(37, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    y[::3] = -100
    messages = []
    for seed in range(10):
        try:  # The last row is alone in its batch.
            fit(linear(), (x, y), epochs=1, seed=seed, batch_size=9)
        except DivergedError as error:
            messages.append(str(error))
    assert 1 < len(messages) < 10
    assert all("a batch has no target that counts" in message for message in messages)


def test_a_loss_whose_parameters_nobody_trains_is_refused(data):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, outputs, targets):
            return self.scale.square() * nn.functional.cross_entropy(outputs, targets)

    loss, model = Weighted(), nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"are in the model.*Weighted with 1 of its own"):
        fit(model, data, epochs=1, seed=0, loss=loss)
    fit(model, data, epochs=1, seed=0, loss=Weighted().requires_grad_(False))
    model.loss = loss
    model.forward = model[0].forward
    fit(model, data, epochs=1, seed=0, loss=loss)
    assert loss.scale != 1
