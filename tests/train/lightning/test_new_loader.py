import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.structure import SparseSchedule
from pyg_modules.train.lightning import LitModular, PartitionCallback, SparseCallback
from pyg_modules.train.lightning.new_loader import new_loader
from tests.train.lightning.training import advisories, new_trainer

pytestmark = advisories


class Hooks:
    """Bytes become numbers around 0."""

    def on_before_batch_transfer(self, batch, dataloader_idx):  # noqa: ARG002
        return batch[0].float(), batch[1]

    def on_after_batch_transfer(self, batch, dataloader_idx):  # noqa: ARG002
        return (batch[0] - 128) / 64, batch[1]


class HookedModular(Hooks, LitModular):
    pass


class HookedData(Hooks, L.LightningDataModule):
    def train_dataloader(self):
        return loader()


def loader(*, are_bytes=True):
    x = torch.randint(256, (32, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > x[:, 1]).long()
    return DataLoader(TensorDataset(x if are_bytes else (x.float() - 128) / 64, y), 8)


class Recorder(L.Callback):
    """What steps are given, and what a loader of one's own gives."""

    def __init__(self):
        self.of_steps, self.of_loader = [], []

    def on_train_epoch_start(self, trainer, pl_module):  # noqa: ARG002
        self.of_loader += new_loader(trainer, trainer.train_dataloader, trainer.current_epoch)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):  # noqa: ARG002
        self.of_steps.append(batch)


@pytest.mark.parametrize(
    ("module", "data", "precision", "dtype"),
    [
        (HookedModular, loader(), "32-true", torch.float32),
        (LitModular, HookedData(), "32-true", torch.float32),
        (LitModular, loader(are_bytes=False), "64-true", torch.float64),
        (LitModular, loader(are_bytes=False), "bf16-true", torch.bfloat16),
    ],
    ids=["hooks of the module", "hooks of the data", "float64", "bfloat16"],
)
def test_probes_and_gradients_are_of_what_a_step_is_given(module, data, precision, dtype):
    torch.manual_seed(0)
    layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
    regularizer = PartitionRegularizer(layer, num_modules=2)
    recorder = Recorder()
    partition = PartitionCallback(PartitionSchedule(regularizer, 2))
    sparse = SparseCallback(SparseSchedule(layer, 2, num_edges=layer.graph.num_edges // 2))
    trainer = new_trainer(recorder, partition, sparse, max_epochs=2, precision=precision)
    trainer.fit(module(layer, regularizer=regularizer), data)
    assert len(recorder.of_steps) == len(recorder.of_loader) == 8
    for given, found in zip(recorder.of_steps, recorder.of_loader, strict=True):
        assert found[0].dtype == dtype
        assert found[0].abs().max() <= 2
        assert torch.equal(given[0], found[0])
        assert torch.equal(given[1], found[1])
    assert partition.verdict().uncut > 0
    assert layer.graph.num_edges < UnitGraph.complete(4, 8, 2).num_edges
