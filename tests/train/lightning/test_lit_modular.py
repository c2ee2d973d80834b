import csv

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader as GraphLoader
from torch_geometric.nn import GINConv, global_add_pool

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.datasets import Dataset
from pyg_modules.train import fit, optimization, seeded
from pyg_modules.train.lightning import LitModular, PartitionCallback, SafetensorsIO
from tests.strategies import KnowsItsTask
from tests.train.lightning.training import (
    CUT,
    STEPS,
    advisories,
    every_epoch,
    loaders,
    new_module,
    new_trainer,
    train,
)

pytestmark = advisories
EPOCHS = 8


def half_planes(num_samples=40):
    x = torch.randn(num_samples, 3, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > x[:, 1]).long()


def scheduled_layer():
    with seeded(0):
        layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
        regularizer = PartitionRegularizer(layer, num_modules=2)
    return layer, PartitionSchedule(regularizer, EPOCHS, probe=KnowsItsTask())


class OrderOfFit:
    """The batches of :func:`fit`, as indices."""

    def __init__(self, num_samples, batch_size, seed):
        self.num_samples, self.batch_size = num_samples, batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self):
        return -(-self.num_samples // self.batch_size)

    def __iter__(self):
        order = torch.randperm(self.num_samples, generator=self.generator)
        return iter([batch.tolist() for batch in order.split(self.batch_size)])


@pytest.mark.parametrize("one_cycle", [True, False])
def test_it_ends_with_the_weights_and_logits_that_fit_ends_with(one_cycle, monkeypatch):
    # Fused steps round otherwise; Lightning clips no gradients of theirs in mixed precision.
    monkeypatch.setattr(optimization, "_may_fuse", lambda _: False)
    x, y = half_planes()
    layer, schedule = scheduled_layer()
    rates = {"learning_rate": 0.01, "weight_decay": 0.2, "one_cycle": one_cycle}
    data = Dataset("half-planes", x, y, x, y)
    fit(layer, data, epochs=EPOCHS, seed=3, batch_size=16, schedule=schedule, **rates)

    other, other_schedule = scheduled_layer()
    module = LitModular(other, regularizer=other_schedule.regularizer, **rates)
    callback = PartitionCallback(other_schedule)
    trainer = new_trainer(callback, max_epochs=EPOCHS, gradient_clip_val=1.0)
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_sampler=OrderOfFit(len(x), 16, 3)))

    assert torch.equal(other.weight, layer.weight)
    assert torch.equal(other.bias, layer.bias)
    assert torch.equal(other_schedule.regularizer.logits, schedule.regularizer.logits)
    assert torch.equal(callback.labels(), schedule.labels())


def test_every_epoch_is_a_row_of_the_log_with_losses_terms_and_accuracies(tmp_path):
    torch.manual_seed(0)
    module, callback = new_module()
    logger = CSVLogger(tmp_path)
    trainer = new_trainer(callback, logger=logger, log_every_n_steps=1)
    trainer.fit(module, *loaders())
    with open(tmp_path / "lightning_logs" / "version_0" / "metrics.csv") as file:
        rows = [
            {name: value for name, value in row.items() if value} for row in csv.DictReader(file)
        ]
    train, val = ([row for row in rows if f"{stage}_loss" in row] for stage in ("train", "val"))
    assert [int(row["epoch"]) for row in train] == [int(row["epoch"]) for row in val]
    assert [set(row) - {"epoch", "step"} for row in val] == [{"val_loss", "val_acc"}] * 12
    always = {"train_loss", "train_acc", "phase", "strength"}
    terms = {"train_ncut", "train_balance"}
    # Free, the epoch in which the ramp begins at 0, the others until the cut, after it.
    expected = [always] * 2 + [always | {"normalized_cut"}]
    expected += [always | {"normalized_cut"} | terms] * 5 + [always | {"normalized_cut"}] * 4
    assert [set(row) - {"epoch", "step"} for row in train] == expected
    assert [float(row["phase"]) for row in train] == [0, 0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3]
    assert [float(row["strength"]) for row in train] == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert [float(row["normalized_cut"]) for row in train[8:]] == [0] * 4
    assert 0 < float(train[7]["normalized_cut"]) < float(train[4]["normalized_cut"])


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_validation_and_test_are_means_over_all_samples(stage):
    x, y = half_planes()
    layer, schedule = scheduled_layer()
    module = LitModular(layer, regularizer=schedule.regularizer)
    loader = DataLoader(TensorDataset(x, y), batch_size=16)  # The last batch has 8.
    (found,) = getattr(new_trainer(), stage)(module, loader, verbose=False)
    prefix = {"validate": "val", "test": "test"}[stage]
    with torch.no_grad():
        outputs = layer(x)
    assert found.keys() == {f"{prefix}_loss", f"{prefix}_acc"}
    assert found[f"{prefix}_loss"] == pytest.approx(F.cross_entropy(outputs, y).item(), rel=1e-6)
    assert found[f"{prefix}_acc"] == pytest.approx((outputs.argmax(1) == y).float().mean().item())


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_several_loaders_are_told_apart(stage):
    x, y = half_planes()
    layer, schedule = scheduled_layer()
    module = LitModular(layer, regularizer=schedule.regularizer)
    parts = [DataLoader(TensorDataset(x[part], y[part])) for part in (slice(4), slice(4, 10))]
    found = getattr(new_trainer(), stage)(module, parts)
    if stage == "predict":
        assert [len(each) for each in found] == [4, 6]
        return
    prefix = {"validate": "val", "test": "test"}[stage]
    for number, part in enumerate((slice(4), slice(4, 10))):
        with torch.no_grad():
            expected = F.cross_entropy(layer(x[part]), y[part]).item()
        named = found[number][f"{prefix}_loss/dataloader_idx_{number}"]
        assert named == pytest.approx(expected, rel=1e-6)


def test_the_progress_bar_shows_loss_and_accuracy():
    module, callback = new_module()
    trainer = new_trainer(callback, enable_progress_bar=True)
    trainer.fit(module, *loaders())
    names = {"train_loss", "train_acc", "val_loss", "val_acc"}
    assert set(trainer.progress_bar_metrics) == names
    assert trainer.callback_metrics.keys() > names


def test_tensorboard_gets_the_same_scalars(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    module, callback = new_module()
    logger = TensorBoardLogger(tmp_path)
    new_trainer(callback, logger=logger, log_every_n_steps=1).fit(module, *loaders())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert {"train_loss", "val_acc", "train_ncut", "phase"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("train_loss")) == 12


def test_predictions_are_the_outputs_with_or_without_targets():
    x, y = half_planes()
    layer, _ = scheduled_layer()
    module = LitModular(layer)
    for data in (TensorDataset(x, y), TensorDataset(x), x):
        outputs = new_trainer().predict(module, DataLoader(data, batch_size=16))
        torch.testing.assert_close(torch.cat(outputs), layer(x))


class Scaled(nn.Module):
    """A loss with a parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return F.cross_entropy(self.scale * outputs, targets)


def test_parameters_of_a_loss_are_trained_with_those_of_the_model_or_refused():
    data, loss = TensorDataset(*half_planes()), Scaled()
    layer, _ = scheduled_layer()
    said = r"a loss whose parameters are in the model, .* \(got a Scaled with 1 of its own\)"
    with pytest.raises(ValueError, match=said):
        fit(layer, data, epochs=1, seed=0, loss=loss)
    with pytest.raises(ValueError, match=said):
        new_trainer(max_epochs=1).fit(LitModular(layer, loss), DataLoader(data, batch_size=40))
    layer.loss = loss
    new_trainer(max_epochs=1).fit(LitModular(layer, loss), DataLoader(data, batch_size=40))
    assert loss.scale != 1


def test_targets_that_are_no_classes_have_no_accuracy():
    x, _ = half_planes()
    layer, _ = scheduled_layer()
    module = LitModular(layer, F.mse_loss)
    loader = DataLoader(TensorDataset(x, x[:, :2]), batch_size=40)
    (found,) = new_trainer().validate(module, loader, verbose=False)
    assert found == {"val_loss": pytest.approx(F.mse_loss(layer(x), x[:, :2]).item())}


class GraphClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GINConv(SynchronousGraph(UnitGraph.complete(3, 8, 4)))
        self.head = SynchronousGraph(UnitGraph.complete(4, 8, 2))

    def forward(self, x, edge_index, batch):
        return self.head(global_add_pool(self.conv(x, edge_index), batch))


class OfGraphs(LitModular):
    def forward(self, batch):
        return self.model(batch.x, batch.edge_index, batch.batch)


def test_batches_of_graphs_need_one_method():
    with seeded(0):
        rings = [
            Data(y + torch.rand(5, 3), torch.stack([torch.arange(5), torch.arange(5).roll(1)]), y=y)
            for y in (0, 1) * 8
        ]
        model = GraphClassifier()
    module = OfGraphs(model, regularizer=PartitionRegularizer(model.head, 2))
    trainer = new_trainer(max_epochs=40)
    trainer.fit(module, GraphLoader(rings, batch_size=8))
    assert trainer.callback_metrics["train_acc"] == 1.0
    batch = Batch.from_data_list(rings)
    with torch.no_grad():
        expected = model(batch.x, batch.edge_index, batch.batch)
    (found,) = trainer.predict(module, GraphLoader(rings, batch_size=16))
    torch.testing.assert_close(found, expected)


def test_copies_are_asked_in_its_place_whatever_lightning_left_there():
    layer, _ = scheduled_layer()
    module, data = LitModular(layer), half_planes()
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)

    def asked():
        loss = module.new_probe(layer, data, steps=3, seed=0)(labels)
        (gradient,) = module.new_gradient(layer, data)([layer.graph], 0)
        return torch.cat([torch.tensor([loss]), gradient])

    expected = asked()
    module.forward = module.forward  # What it does under DDP.
    assert torch.equal(asked(), expected)
    assert layer.weight.grad is None


def test_a_regularizer_of_another_layer_is_refused():
    _, schedule = scheduled_layer()
    other, _ = scheduled_layer()
    with pytest.raises(ValueError, match=r"layer of the model \(got one of another layer\)"):
        LitModular(nn.Sequential(other), regularizer=schedule.regularizer)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match=r"finite learning_rate > 0 \(got -1\)"):
        LitModular(nn.Linear(3, 2), learning_rate=-1)
    with pytest.raises(TypeError, match=r"weight_decay to be a number \(got str"):
        LitModular(nn.Linear(3, 2), weight_decay="0.1")


def test_a_training_without_end_is_refused():
    module = LitModular(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"with a last step, .*\(got one without end\)"):
        new_trainer(max_epochs=-1).fit(module, loaders()[0])


def test_a_training_without_a_step_is_refused():
    module = LitModular(nn.Linear(3, 2))
    with pytest.raises(
        ValueError, match=r"a step at least \(got one without\)\..*limit_train_batches"
    ):
        new_trainer(max_epochs=2, limit_train_batches=0).fit(module, loaders()[0])


def test_a_loss_that_is_a_name_is_refused():
    with pytest.raises(TypeError, match=r"a loss that can be called \(got 'mse'\)"):
        LitModular(nn.Linear(2, 2), loss="mse")


def test_arguments_in_the_place_of_others_are_refused():
    layer, schedule = scheduled_layer()
    with pytest.raises(TypeError, match=r"\(got a PartitionRegularizer\).* regularizer=\.\.\."):
        LitModular(layer, schedule.regularizer)
    with pytest.raises(TypeError, match=r"\(got <class .*CrossEntropyLoss'>\)"):
        LitModular(layer, nn.CrossEntropyLoss)
    with pytest.raises(TypeError, match=r"\(got PartitionSchedule\).* schedule\.regularizer"):
        LitModular(layer, regularizer=schedule)
    with pytest.raises(TypeError, match=r"\(got UnitGraph\).* SynchronousGraph\(graph\)"):
        LitModular(layer.graph)


@pytest.mark.parametrize("plugins", [[SafetensorsIO()], []])
def test_a_module_comes_out_of_a_checkpoint_of_either_kind(plugins, tmp_path):
    trained, _, trainer = train(every_epoch(tmp_path), max_epochs=CUT + 2, plugins=plugins)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.manual_seed(1)
    new, _ = new_module()
    kept = {"model": new.model, "regularizer": new.regularizer}
    module = LitModular.load_from_checkpoint(tmp_path / "last.ckpt", **kept)
    assert module.hparams == trained.hparams
    expected = trained.state_dict()
    assert module.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())
    for epoch in (CUT - 2, CUT + 1):
        new, _ = new_module()
        kept = {"model": new.model, "regularizer": new.regularizer}
        earlier = LitModular.load_from_checkpoint(tmp_path / f"epoch={epoch}.ckpt", **kept)
        is_cut = earlier.model[1].edge_mask is not None
        assert is_cut == (epoch >= CUT)


def test_a_checkpoint_that_is_cut_off_is_no_checkpoint_of_lightning(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"half of")
    with pytest.raises(ValueError, match=r"a complete checkpoint of SafetensorsIO in .*last\.ckpt"):
        LitModular.load_from_checkpoint(path, model=nn.Linear(3, 2))
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        LitModular.load_from_checkpoint(tmp_path / "none.ckpt", model=nn.Linear(3, 2))


def test_a_longer_training_than_the_resumed_cycle_is_refused_before_its_first_step(tmp_path):
    train(every_epoch(tmp_path), max_epochs=CUT)
    path = tmp_path / f"epoch={CUT - 1}.ckpt"
    steps = CUT * STEPS
    with pytest.raises(ValueError, match=rf"at most {steps} steps, .*\(got {steps + STEPS}\)"):
        train(checkpoint=path, max_epochs=CUT + 1)


def test_a_constant_learning_rate_may_go_on_for_longer(tmp_path):
    layer, _ = scheduled_layer()
    module = LitModular(layer, one_cycle=False)
    new_trainer(every_epoch(tmp_path), max_epochs=2).fit(module, loaders()[0])
    trainer = new_trainer(max_epochs=3)
    trainer.fit(module, loaders()[0], ckpt_path=tmp_path / "epoch=1.ckpt")
    assert trainer.global_step == 3 * STEPS


def test_batches_of_other_parts_are_refused():
    x, y = half_planes()
    loader = DataLoader(TensorDataset(x, x, y), batch_size=10)
    with pytest.raises(TypeError, match=r"targets in batch\.y \(got Tensor\)"):
        new_trainer(max_epochs=1).fit(LitModular(nn.Linear(3, 2)), DataLoader(x))
    with pytest.raises(ValueError, match=r"\(inputs, targets\) \(got 3 parts\)"):
        new_trainer(max_epochs=1).fit(LitModular(nn.Linear(3, 2)), loader)


def test_outputs_are_not_compared_with_targets_of_others():
    x, _ = half_planes()
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 1))
    module = LitModular(layer, lambda outputs, targets: ((outputs - targets) ** 2).mean())
    with pytest.raises(ValueError, match=r"Expected targets \[10, 1\].*y.reshape\(-1, 1\)"):
        new_trainer(max_epochs=1).fit(module, DataLoader(TensorDataset(x, x[:, 0]), 10))


@pytest.mark.parametrize("ignored", [slice(None, None, 2), slice(10)])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0])])
def test_targets_that_are_ignored_do_not_count_and_classes_count_by_their_weights(ignored, weight):
    x, y = half_planes()
    y[ignored] = -100
    loss = nn.CrossEntropyLoss(weight)
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    batches = DataLoader(TensorDataset(x, y), 10)
    (found,) = new_trainer().validate(LitModular(layer, loss), batches, verbose=False)
    with torch.no_grad():
        outputs = layer(x)
    counted = y != -100
    right = (outputs.argmax(dim=1) == y)[counted].double().mean()
    assert found["val_loss"] == pytest.approx(float(loss(outputs, y)), rel=1e-5)
    assert found["val_acc"] == pytest.approx(float(right), rel=1e-6)


def test_the_cycle_ends_with_a_training_that_accumulates_more_and_more_batches():
    x, y = half_planes(100)
    module = LitModular(SynchronousGraph(UnitGraph.complete(3, 4, 2)))
    trainer = new_trainer(GradientAccumulationScheduler({2: 4}), max_epochs=6)
    trainer.fit(module, DataLoader(TensorDataset(x, y), 16))
    (config,) = trainer.lr_scheduler_configs
    assert trainer.global_step == config.scheduler.total_steps == 2 * 7 + 4 * 2


def test_the_loss_is_the_one_that_the_module_has_when_it_trains():
    class Weighted(LitModular):
        def __init__(self, model):
            super().__init__(model)
            self.loss = nn.CrossEntropyLoss(torch.tensor([1.0, 9.0]))

    x, y = half_planes()
    batches = DataLoader(TensorDataset(x, y), 40)
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    (weighted,) = new_trainer().validate(module := Weighted(layer), batches, verbose=False)
    module.loss = nn.CrossEntropyLoss()
    (plain,) = new_trainer().validate(module, batches, verbose=False)
    with torch.no_grad():
        outputs = layer(x)
    expected = F.cross_entropy(outputs, y, torch.tensor([1.0, 9.0]))
    assert weighted["val_loss"] == pytest.approx(float(expected), rel=1e-5)
    assert plain["val_loss"] == pytest.approx(float(F.cross_entropy(outputs, y)), rel=1e-5)


def test_accuracy_in_training_is_that_of_targets_that_count():
    x, y = half_planes()
    y[:10] = -1

    def loss(outputs, targets):
        losses = F.cross_entropy(outputs, targets, ignore_index=-1, reduction="none")
        return losses.sum() / (targets != -1).sum().clamp(min=1)

    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    trainer = new_trainer(max_epochs=1)
    module = LitModular(layer, loss, learning_rate=1e-30)
    trainer.fit(module, DataLoader(TensorDataset(x, y), 10))
    with torch.no_grad():
        right = (layer(x).argmax(dim=1) == y)[10:].double().mean()
    assert float(trainer.callback_metrics["train_acc"]) == pytest.approx(float(right), rel=1e-6)


def test_targets_that_are_all_ignored_are_logged_as_no_number(tmp_path):
    x, y = half_planes()
    module = LitModular(SynchronousGraph(UnitGraph.complete(3, 4, 2)))
    ignored = DataLoader(TensorDataset(x, torch.full_like(y, -100)), 10)
    kept = ModelCheckpoint(tmp_path, monitor="val_loss")
    trainer = new_trainer(kept, max_epochs=1)
    trainer.fit(module, DataLoader(TensorDataset(x, y), 10), ignored)
    assert trainer.callback_metrics["val_loss"].isnan()


def test_outputs_of_several_parts_are_for_a_loss_of_ones_own():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))

        def forward(self, x):
            outputs = self.layer(x)
            return outputs, outputs.square().mean()

    x, y = half_planes()
    module = LitModular(Both(), lambda outputs, y: F.cross_entropy(outputs[0], y) + outputs[1])
    trainer = new_trainer(max_epochs=1)
    trainer.fit(module, DataLoader(TensorDataset(x, y), 10))
    assert trainer.callback_metrics.keys() == {"train_loss"}
