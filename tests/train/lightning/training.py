"""A small training with everything random in it, and one that kills its process."""

import os
import random
import signal

import lightning as L
import numpy
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Dataset

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.train.lightning import LitModular, PartitionCallback, SafetensorsIO
from tests.strategies import KnowsItsTask

#: For ``pytestmark``: what Lightning always says here.
advisories = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "The '.*_dataloader' does not have many workers",
        "You defined a `validation_step` but have no `val_dataloader`",
        "Be aware that when using `ckpt_path`, callbacks used",
        "Checkpoint directory .* exists and is not empty",
        # Lightning 2.6 with torch >= 2.13
        ".*LeafSpec.* is deprecated:FutureWarning",
    )
]

EPOCHS = 12
#: The cut is at the beginning of this one.
CUT = 8
STEPS = 3


class Noisy(Dataset):
    """Half-planes, with noise from Python and from NumPy."""

    def __init__(self, num_samples=48):
        self.x = torch.randn(num_samples, 3, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, 0] > self.x[:, 1]).long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        noise = random.gauss(0, 0.01) + numpy.random.normal(0, 0.01)
        return self.x[index] + noise, self.y[index]


def loaders():
    """Shuffled training data of ``STEPS`` batches, and validation data."""
    return DataLoader(Noisy(), batch_size=16, shuffle=True), DataLoader(Noisy(16), batch_size=16)


def new_module():
    """An untrained module with dropout, and the callback that organises it."""
    torch.manual_seed(0)
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
    regularizer = PartitionRegularizer(layer, num_modules=2)
    module = LitModular(nn.Sequential(nn.Dropout(0.1), layer), regularizer=regularizer)
    return module, PartitionCallback(PartitionSchedule(regularizer, CUT, probe=KnowsItsTask()))


def new_trainer(*callbacks, **settings):
    """A quiet trainer on the CPU."""
    usual = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": EPOCHS,
        "callbacks": list(callbacks),
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(it, ModelCheckpoint) for it in callbacks),
        "plugins": [SafetensorsIO()],
    }
    return L.Trainer(**usual | settings)


def every_epoch(folder, **settings):
    """Checkpoints ``1.ckpt`` and so on, numbered by the epochs that are done."""
    return ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, **settings)


def train(*callbacks, seed=0, checkpoint=None, **settings):
    """The module, the callback and the trainer when all is done."""
    L.seed_everything(0, verbose=False)  # The order of samples, where ranks share them.
    module, partition = new_module()
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    random.gauss(0, 1)  # It keeps a second number, which is part of the state.
    trainer = new_trainer(partition, *callbacks, **settings)
    trainer.fit(module, *loaders(), ckpt_path=checkpoint)
    return module, partition, trainer


def everything(module, partition, trainer):
    """All tensors that a training ends with, by name."""
    optimizer = trainer.optimizers[0].state_dict()
    return {
        **module.state_dict(),
        "labels": partition.labels(),
        "random": torch.get_rng_state(),
        "numpy": torch.from_numpy(numpy.random.random(4)),
        "python": torch.tensor([random.gauss(0, 1) for _ in range(3)]),
        **{
            f"optimizer.{index}.{name}": value
            for index, state in optimizer["state"].items()
            for name, value in state.items()
        },
        "rates": torch.tensor([group["lr"] for group in optimizer["param_groups"]]),
    }


class KilledAt(L.Callback):
    """Kills the process when a step begins, as the system would."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(folder, step):
    """Go on from the last checkpoint, if there is one, until the process is killed."""
    last = folder / "last.ckpt"
    callbacks = KilledAt(step), ModelCheckpoint(folder, save_last=True)
    if last.exists():
        train(*callbacks, seed=step, checkpoint=last)
    else:
        train(*callbacks)
