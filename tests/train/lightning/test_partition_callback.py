import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from pyg_modules import cut
from pyg_modules.partition.labels import stays_independent
from pyg_modules.train.lightning import LitModular, PartitionCallback
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
