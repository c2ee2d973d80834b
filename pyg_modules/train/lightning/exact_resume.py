from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from pyg_modules.train.lightning.random_state import random_state, set_random_state

_KEY = "random_state"


class ExactResume(L.Callback):
    """Keeps the random states in the checkpoint, so that a resumed training is the same to the bit.

    Those of Python, NumPy and torch, on the CPU and on the device, of every rank: shuffling and
    dropout go on as if nothing was. :class:`LitModular` brings it along; for another
    ``LightningModule`` it is a callback like any other.

    The checkpoint has to be one of the end of an epoch, the default of ``ModelCheckpoint``. From
    one in the middle, Lightning goes on with other batches, and warns.
    """

    def __init__(self) -> None:
        self._resumed: dict[str, Tensor] | None = None

    def on_save_checkpoint(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Put the random states into the checkpoint, one row per rank."""
        device = trainer.strategy.root_device
        state = random_state(device)
        if trainer.world_size > 1:
            # Collectives of a device may take no tensors of the CPU.
            moved = {name: value.to(device) for name, value in state.items()}
            state = {name: trainer.strategy.all_gather(value) for name, value in moved.items()}
        checkpoint[_KEY] = {
            name: value.cpu().reshape(trainer.world_size, -1) for name, value in state.items()
        }

    def on_load_checkpoint(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Take the random state of this rank, if a training is resumed."""
        if trainer.state.fn != TrainerFn.FITTING or _KEY not in checkpoint:
            return
        states: dict[str, Tensor] = checkpoint[_KEY]
        num_ranks = len(states["torch"])
        if num_ranks != trainer.world_size:
            rank_zero_warn(
                f"Expected the number of ranks that wrote the checkpoint, {num_ranks} (got"
                f" {trainer.world_size}). The training goes on with other random numbers."
                " Start as many to go on with the same ones."
            )
            return
        self._resumed = {name: rows[trainer.global_rank] for name, rows in states.items()}
        set_random_state(self._resumed, trainer.strategy.root_device)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Notice that the batches of this epoch are those drawn after the state was taken."""
        self._resumed = None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Forget what was drawn for batches that nobody sees.

        A checkpoint of the end of a validation is resumed in the epoch that ends with it. Lightning
        makes an iterator over the data for it, which draws random numbers, and then another one for
        the next epoch.
        """
        if self._resumed is not None:
            set_random_state(self._resumed, trainer.strategy.root_device)
            self._resumed = None
