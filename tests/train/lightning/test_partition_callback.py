from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    cut,
)
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure import SparseSchedule
from pyg_modules.train.lightning import (
    LitModular,
    PartitionCallback,
    SafetensorsIO,
    SparseCallback,
)
from tests.strategies import KnowsItsTask
from tests.train.lightning import training
from tests.train.lightning.training import (
    CUT,
    EPOCHS,
    STEPS,
    Noisy,
    advisories,
    every_epoch,
    loaders,
    new_module,
    new_trainer,
)

pytestmark = advisories


def train(epochs, *callbacks):
    module, callback = new_module()
    trainer = new_trainer(callback, *callbacks, max_epochs=epochs)
    trainer.fit(module, loaders()[0])
    return module, callback, trainer


def test_after_the_schedule_edges_between_modules_stay_exactly_0():
    module, callback, trainer = train(EPOCHS)
    layer, labels = module.model[1], callback.labels()
    kept = stays_independent(layer.graph, labels)
    assert torch.equal(layer.edge_mask, kept)
    assert not layer.weight[~kept].any()
    assert layer.weight[kept].all()
    state = trainer.optimizers[0].state[layer.weight]
    assert not state["exp_avg"][~kept].any()
    assert not state["exp_avg_sq"][~kept].any()
    assert module.regularizer.strength == 0
    small = cut(layer, labels)
    assert small.graph.num_edges == int(kept.sum())
    x = torch.rand(5, 3)
    torch.testing.assert_close(small(x), layer(x), rtol=1e-5, atol=1e-6)


def test_a_training_of_the_epochs_of_the_schedule_leaves_the_cut_to_the_user():
    module, callback, _ = train(CUT)
    layer = module.model[1]
    assert layer.edge_mask is None
    assert torch.equal(callback.labels(), callback.schedule.labels())
    assert callback.verdict() is callback.schedule.verdict()
    assert module.regularizer.strength == 1
    assert cut(layer, callback.labels()).graph.num_edges < layer.graph.num_edges


def test_the_cut_stays_in_another_training():
    module, callback, _ = train(EPOCHS)
    labels = callback.labels()
    mask = module.model[1].edge_mask.clone()
    new_trainer(callback).fit(module, loaders()[0])
    assert callback.labels() is labels
    assert callback.verdict().labels.equal(labels)
    assert torch.equal(module.model[1].edge_mask, mask)


def test_a_module_that_has_lost_its_units_does_not_stop_the_log():
    module, callback = new_module()
    with torch.no_grad():
        module.regularizer.logits[:, 0] = 10
    module.model[1].weight.data.fill_(1)
    assert callback._normalized_cut() == 0  # All units are in one module.


def test_what_does_not_fit_is_refused_before_the_first_step():
    module, callback = new_module()
    with pytest.raises(TypeError, match=r"PartitionSchedule \(got PartitionRegularizer\)"):
        PartitionCallback(module.regularizer)
    with pytest.raises(ValueError, match=rf"max_epochs >= {CUT}, .* \(got {CUT - 1}\)"):
        new_trainer(callback, max_epochs=CUT - 1).fit(module, loaders()[0])
    without = LitModular(module.model)
    with pytest.raises(ValueError, match=r"in the LightningModule \(got one without\)"):
        new_trainer(callback).fit(without, loaders()[0])
    last = CUT * STEPS
    with pytest.raises(ValueError, match=rf"max_steps >= {last}, .* \(got {last - 1}\)"):
        new_trainer(callback, max_epochs=None, max_steps=last - 1).fit(module, loaders()[0])
    assert module.global_step == 0
    new_trainer(callback, fast_dev_run=True).fit(module, loaders()[0])


def test_a_training_of_as_many_steps_as_the_schedule_is_one_of_its_epochs():
    module, callback, _ = training.train(max_epochs=None, max_steps=CUT * STEPS)
    expected, of_epochs, _ = training.train(max_epochs=CUT)
    assert torch.equal(callback.labels(), of_epochs.labels())
    assert torch.equal(module.model[1].weight, expected.model[1].weight)


def test_a_training_that_is_resumed_probes_the_same_samples(tmp_path):
    def probe(checkpoint=None):
        module, callback = new_module()
        callback.schedule.probe = None
        # Lightning tells it the epoch, as it does on several devices.
        sampler = DistributedSampler(Noisy(), num_replicas=2, rank=0)
        loader = DataLoader(Noisy(), batch_size=4, sampler=sampler)
        trainer = new_trainer(callback, every_epoch(tmp_path), max_epochs=CUT)
        trainer.fit(module, loader, ckpt_path=checkpoint)
        assert sampler.epoch == CUT - 1
        with torch.no_grad():
            module.model[1].weight.fill_(0.1)
        return callback.schedule.probe(None)

    expected = probe()
    assert probe(tmp_path / f"epoch={CUT - 2}.ckpt") == expected


class WithoutLength(IterableDataset):
    def __iter__(self):
        return iter(Noisy())


def test_data_without_a_length_are_organised_as_those_with_one():
    module, callback = new_module()
    loader = DataLoader(WithoutLength(), batch_size=16)
    new_trainer(callback, max_epochs=None, max_steps=CUT * STEPS).fit(module, loader)
    assert callback.labels().unique().tolist() == [-1, 0, 1]


class TwoOptimizers(LitModular):
    """Optimized by hand; the layer is in the second one."""

    def __init__(self, module):
        super().__init__(
            nn.Sequential(nn.Linear(3, 3), module.model[1]), regularizer=module.regularizer
        )
        self.automatic_optimization = False

    def training_step(self, batch):
        loss = super().training_step(batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self):
        layer = [*self.model[1].parameters(), *self.regularizer.parameters()]
        return [torch.optim.Adam(self.model[0].parameters()), torch.optim.Adam(layer)]


def test_the_optimizer_of_the_layer_is_found_among_others():
    module, callback = new_module()
    new_trainer(callback).fit(TwoOptimizers(module), loaders()[0])
    layer = module.model[1]
    kept = stays_independent(layer.graph, callback.labels())
    assert torch.equal(layer.edge_mask, kept)
    assert not layer.weight[~kept].any()


def test_a_layer_that_no_optimizer_has_is_refused():
    module, callback = new_module()
    module.configure_optimizers = lambda: torch.optim.Adam(module.regularizer.parameters())
    with pytest.raises(ValueError, match=r"with the weight of the layer \(got none\)"):
        new_trainer(callback).fit(module, loaders()[0])


def test_a_second_training_is_probed_by_its_own_data():
    torch.manual_seed(0)
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
    schedule = PartitionSchedule(PartitionRegularizer(layer, num_modules=2), 2)
    callback, x = PartitionCallback(schedule), torch.randn(32, 3)
    module = LitModular(layer, nn.functional.mse_loss, regularizer=schedule.regularizer)
    for scale in (1.0, 100.0):
        y = scale * torch.randn(32, 2)
        trainer = new_trainer(callback, max_epochs=2)
        trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=32))
        chance = float(y.var(dim=0, correction=0).mean())
        assert callback.verdict().chance == pytest.approx(chance, rel=1e-2)


def test_several_layers_have_callbacks_of_different_names(tmp_path):
    def trained(checkpoint=None):
        torch.manual_seed(0)
        layers = [SynchronousGraph(UnitGraph.complete(3, 12, 3)) for _ in range(2)]
        schedules = [
            PartitionSchedule(PartitionRegularizer(layer, 2), 3, probe=KnowsItsTask())
            for layer in layers
        ]
        module = LitModular(nn.Sequential(*layers))
        module.regularizers = nn.ModuleList(one.regularizer for one in schedules)
        callbacks = [
            PartitionCallback(one, name=name)
            for one, name in zip(schedules, ("first", "second"), strict=True)
        ]
        saves = every_epoch(tmp_path)
        trainer = new_trainer(*callbacks, saves, max_epochs=4)
        trainer.fit(module, loaders()[0], ckpt_path=checkpoint)
        return [callback.labels() for callback in callbacks]

    expected = trained()
    checkpoint = SafetensorsIO().load_checkpoint(tmp_path / "epoch=3.ckpt")
    keys = {key for key in checkpoint["callbacks"] if key.startswith("Partition")}
    assert keys == {f"PartitionCallback{{'name': '{name}'}}" for name in ("first", "second")}
    found = trained(tmp_path / "epoch=3.ckpt")
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(*expected)


def test_a_name_is_a_text_and_without_one_the_state_is_found_by_the_class():
    _, callback = new_module()
    assert callback.state_key == "PartitionCallback"
    sparse = SparseSchedule(callback.schedule.regularizer.layer, 2, num_edges=100)
    assert SparseCallback(sparse).state_key == "SparseCallback"
    assert SparseCallback(sparse, name="a").state_key == "SparseCallback{'name': 'a'}"
    with pytest.raises(TypeError, match="Expected a name"):
        PartitionCallback(callback.schedule, name=1)


def test_other_devices_have_as_many_modules_as_the_first_one_found():
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 3))
    callbacks = []
    for num_modules in (4, 2):
        regularizer = PartitionRegularizer(layer, "auto")
        schedule = PartitionSchedule(regularizer, 20, probe=KnowsItsTask())
        hidden = torch.arange(12) % num_modules
        regularizer.set_labels(torch.cat([torch.full((4,), -1), hidden, torch.full((3,), -1)]))
        callbacks.append(PartitionCallback(schedule))
    first, other = callbacks
    sent = []

    def trainer(broadcast):
        return SimpleNamespace(world_size=2, strategy=SimpleNamespace(broadcast=broadcast))

    first._follow_the_first(trainer(lambda found: sent.append(found) or found))
    other._follow_the_first(trainer(lambda _: sent[0]))
    for callback in callbacks:
        callback.schedule.regularizer.strength = 1.0
    assert other.schedule.regularizer.num_modules == 4
    penalties = [float(callback.schedule.regularizer().detach()) for callback in callbacks]
    assert penalties[0] == penalties[1] > 0


def test_a_training_that_is_stopped_before_the_cut_is_told():
    module, callback = new_module()
    early = EarlyStopping("val_loss", patience=0, min_delta=10.0)
    with pytest.warns(UserWarning, match=rf"ended after epoch 2 of the {CUT} until the cut"):
        new_trainer(callback, early).fit(module, *loaders())
    assert not callback.is_cut
