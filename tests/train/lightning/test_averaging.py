"""Averages of the weights are cut as the weights are."""

import copy

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn

from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    prune_cross_edges,
)
from pyg_modules.modules.cut import stays_independent
from pyg_modules.train.lightning import LitModular, PartitionCallback
from tests.strategies import KnowsItsTask
from tests.train.lightning.training import (
    CUT,
    EPOCHS,
    STEPS,
    advisories,
    every_epoch,
    loaders,
    new_trainer,
)

pytestmark = [
    *advisories,
    pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch"),
]


class Recorder(L.Callback):
    """The weights of the layer after every step."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, _, pl_module, *__):
        self.weights.append(pl_module.model[1].weight.detach().clone())


class Averages(L.Callback):
    """One of a user's own, of the model without what is around it."""

    def on_fit_start(self, _, pl_module):
        self.averaged = AveragedModel(pl_module.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def on_train_batch_end(self, _, pl_module, *__):
        self.averaged.update_parameters(pl_module.model)

    def on_train_end(self, _, pl_module):
        pl_module.model.load_state_dict(self.averaged.module.state_dict())


def train(*callbacks, checkpoint=None, **settings):
    L.seed_everything(0, verbose=False)
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
    regularizer = PartitionRegularizer(layer, num_modules=2)
    # The buffers after the layer would be mistaken for its mask.
    module = LitModular(
        nn.Sequential(nn.BatchNorm1d(3), layer, nn.BatchNorm1d(2)), regularizer=regularizer
    )
    partition = PartitionCallback(PartitionSchedule(regularizer, CUT, probe=KnowsItsTask()))
    new_trainer(partition, *callbacks, **settings).fit(module, *loaders(), ckpt_path=checkpoint)
    return layer, partition


def moving_average(weights, kept):
    average = weights[0].clone()
    for step, weight in enumerate(weights[1:], start=1):
        if step == CUT * STEPS:
            average[~kept] = 0
        average = 0.9 * average + 0.1 * weight
    return average


EMA = {
    "EMAWeightAveraging": lambda: EMAWeightAveraging(decay=0.9),
    "without buffers": lambda: EMAWeightAveraging(decay=0.9, use_buffers=False),
    "several at once": lambda: WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(0.9)),
    "of a user's own": Averages,
}


@pytest.mark.parametrize("name", EMA)
def test_a_moving_average_is_cut_with_the_layer(name):
    recorder = Recorder()
    layer, partition = train(EMA[name](), recorder)
    kept = stays_independent(layer.graph, partition.labels())
    assert torch.equal(layer.edge_mask, kept)
    assert not layer.weight[~kept].any()
    assert recorder.weights[CUT * STEPS - 1].all()
    expected = moving_average(recorder.weights, kept)
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", [3, CUT, EPOCHS - 2])  # Lightning counts from 1.
def test_a_mean_over_epochs_is_cut_with_the_layer(start):
    recorder = Recorder()
    averaging = StochasticWeightAveraging(0.01, swa_epoch_start=start + 1)
    layer, partition = train(averaging, recorder)
    kept = stays_independent(layer.graph, partition.labels())
    assert torch.equal(layer.edge_mask, kept)
    of_epochs = [recorder.weights[epoch * STEPS - 1] for epoch in range(start, EPOCHS)]
    expected = torch.where(kept, torch.stack(of_epochs).mean(dim=0), 0.0)
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epoch", [CUT - 2, CUT + 1])
def test_an_average_goes_on_from_a_checkpoint(epoch, tmp_path):
    layer, partition = train(EMAWeightAveraging(decay=0.9), every_epoch(tmp_path))
    checkpoint = tmp_path / f"epoch={epoch}.ckpt"
    resumed, again = train(EMAWeightAveraging(decay=0.9), checkpoint=checkpoint)
    assert torch.equal(again.labels(), partition.labels())
    assert torch.equal(resumed.edge_mask, layer.edge_mask)
    assert torch.equal(resumed.weight, layer.weight)


@pytest.mark.parametrize("settings", [{}, {"avg_fn": get_swa_avg_fn()}])
def test_an_average_that_cannot_be_one_of_masks_is_refused_before_the_first_step(settings):
    recorder = Recorder()
    with pytest.raises(ValueError, match=r"which the layer has after the cut .*use_buffers=False"):
        train(WeightAveraging(**settings), recorder)
    assert not recorder.weights
    train(WeightAveraging(use_buffers=False, **settings))


def test_without_a_trainer_the_average_is_pruned_by_hand():
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
    model = nn.Sequential(nn.BatchNorm1d(3), layer, nn.BatchNorm1d(2))
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    prune_cross_edges(layer, labels)
    prune_cross_edges(averaged.module[1], labels)
    before = copy.deepcopy(layer.weight.detach())
    with torch.no_grad():
        layer.weight.add_(1.0)
    averaged.update_parameters(model)
    kept = stays_independent(layer.graph, labels)
    assert torch.equal(averaged.module[1].edge_mask, kept)
    torch.testing.assert_close(averaged.module[1].weight[kept], before[kept] + 0.5)
