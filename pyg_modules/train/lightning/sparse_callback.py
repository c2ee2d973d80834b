from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pyg_modules.structure.sparse_schedule import SparseSchedule
from pyg_modules.train.lightning.averaged_layers import check_not_averaged
from pyg_modules.train.lightning.layer_optimizer import optimizer_of
from pyg_modules.train.lightning.lit_modular import LitModular
from pyg_modules.train.lightning.named_callback import NamedCallback
from pyg_modules.train.lightning.new_loader import new_loader
from pyg_modules.train.lightning.partition_callback import PartitionCallback
from pyg_modules.train.lightning.training_length import check_max_epochs, check_max_steps


class SparseCallback(NamedCallback):
    """Prunes and grows the edges of a layer by a :class:`SparseSchedule`.

    The schedule is stepped when an epoch begins, and has the optimizer of the layer for that time
    only. One that needs gradients and has none gets those of a :class:`LitModular`, of a batch of
    the training data from a loader of its own; give it an ``EdgeGradient`` in other modules. Epochs
    beyond those of the schedule train the edges that are left.

    On several devices, by ``strategy="ddp"``, the first one chooses the edges, by its part of the
    data, and all take them.

    A checkpoint of a :class:`LitModular` has the edges that its weights belong to, and gives them
    to the layer before the weights. A ``LightningModule`` of another kind can only load weights of
    the edges it has.

    Beside a :class:`PartitionCallback` of the same layer, give this one first, so that modules are
    read from the edges of the epoch; it must have ended when that one cuts.

    Logged at the end of an epoch: ``num_edges``.

    Args:
        schedule (SparseSchedule): Of a layer in the ``LightningModule``, without an optimizer.
        name (str, optional): What its state is called in checkpoints; give each its own where a
            training has several. (default: none)

    Raises:
        TypeError: If ``schedule`` is none, or ``name`` no text.
    """

    def __init__(self, schedule: SparseSchedule, *, name: str | None = None) -> None:
        if not isinstance(schedule, SparseSchedule):
            raise TypeError(
                f"Expected a SparseSchedule (got {type(schedule).__name__}). Make one:"
                f" SparseSchedule(layer, epochs, num_edges=...)."
            )
        super().__init__(name)
        self.schedule = schedule

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raise unless the training can follow the schedule.

        Raises:
            ValueError: If ``pl_module`` does not contain the layer, or is compiled; if the schedule
                has an optimizer of its own; if the training, or a :class:`PartitionCallback` until
                its cut, has fewer epochs; if a callback averages the weights; or if the strategy is
                neither of one device nor DDP.
        """
        if stage != "fit":
            return
        schedule = self.schedule
        if schedule.layer not in set(pl_module.modules()):
            raise ValueError(
                "Expected the layer of the schedule in the LightningModule (got one without). Make"
                " the schedule of the layer inside: SparseSchedule(layer, epochs, num_edges=...)."
            )
        if schedule.optimizer is not None:
            raise ValueError(
                f"Expected a SparseSchedule without an optimizer (got one with its"
                f" {type(schedule.optimizer).__name__}). The LightningModule makes one; leave"
                f" optimizer= out."
            )
        check_max_epochs(trainer, schedule.epochs)
        check_not_averaged(trainer, pl_module, schedule.layer)
        for partition in self._partitions(trainer):
            if partition.schedule.epochs < schedule.epochs:
                raise ValueError(
                    f"Expected a PartitionSchedule of at least {schedule.epochs} epochs, those of"
                    f" the SparseSchedule of the same layer (got {partition.schedule.epochs}):"
                    f" edges would grow between modules that are cut. Raise its epochs, or lower"
                    f" the others."
                )
        self._check_not_compiled(pl_module)
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                f"Expected a strategy whose devices hold whole copies of the layer (got"
                f" {type(trainer.strategy).__name__}). Use Trainer(devices=1) or strategy='ddp'."
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Raise unless everything that knows the edges can follow.

        Raises:
            ValueError: If a callback has begun to average the weights; if ``max_steps`` ends before
                the schedule; if DDP takes what is computed for static; or if a
                :class:`PartitionCallback` has cut the layer already.
        """
        check_not_averaged(trainer, pl_module, self.schedule.layer)
        check_max_steps(trainer, pl_module, self.schedule.epochs)
        if getattr(trainer.strategy.model, "static_graph", False):
            raise ValueError(
                "Expected a DDPStrategy whose graph may change (got one with static_graph=True)."
                " Leave static_graph out."
            )
        is_over = trainer.current_epoch >= self.schedule.epochs
        if not is_over and any(one.is_cut for one in self._partitions(trainer)):
            raise ValueError(
                "Expected a layer that is not cut (got one that the PartitionCallback cut in an"
                " earlier training, between whose modules edges would grow). Train it on without"
                " the SparseCallback, or cut it: cut(layer, callback.labels())."
            )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Step the schedule, if its epochs are not over."""
        if trainer.current_epoch >= self.schedule.epochs:
            return
        weight = self.schedule.layer.weight
        with self._lent(trainer, pl_module):
            self._step(trainer)
        if self.schedule.layer.weight is not weight:
            _renew_ddp(trainer, pl_module)

    def on_train_epoch_end(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,
    ) -> None:
        """Log how many edges there are."""
        pl_module.log("num_edges", float(self.schedule.layer.graph.num_edges), sync_dist=True)

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept, beside the weights and their edges, to go on in an epoch."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.schedule.load_state_dict(state_dict)

    @contextmanager
    def _lent(self, trainer: L.Trainer, pl_module: L.LightningModule) -> Iterator[None]:
        """The schedule has the optimizer inside, and gradients if it has none."""
        schedule, loader = self.schedule, trainer.train_dataloader
        own = schedule.gradient
        schedule.optimizer = optimizer_of(trainer, schedule.layer.weight)
        if own is None and isinstance(pl_module, LitModular) and isinstance(loader, DataLoader):
            data = new_loader(trainer, loader, trainer.current_epoch)
            schedule.gradient = pl_module.new_gradient(schedule.layer, data)
        try:
            yield
        finally:
            schedule.optimizer, schedule.gradient = None, own

    def _step(self, trainer: L.Trainer) -> None:
        """Step the schedule; on several devices, on the first one, which the others follow."""
        schedule = self.schedule
        if trainer.world_size == 1:
            schedule.step(trainer.current_epoch)
            return
        found: dict[str, Any] | ValueError | None = None
        if trainer.is_global_zero:
            # The others would wait for what never comes.
            try:
                schedule.step(trainer.current_epoch)
                found = _on_cpu(schedule.state_dict())
            except ValueError as error:
                found = error
        found = trainer.strategy.broadcast(found)
        if isinstance(found, ValueError):
            raise found
        if not trainer.is_global_zero:
            assert found is not None
            schedule.load_state_dict(found)

    def _partitions(self, trainer: L.Trainer) -> list[PartitionCallback]:
        """The callbacks that organise the same layer."""
        return [
            callback
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, PartitionCallback)
            and callback.schedule.regularizer.layer is self.schedule.layer
        ]

    def _check_not_compiled(self, pl_module: L.LightningModule) -> None:
        """Raise a ``ValueError`` if what contains the layer was compiled with its edges."""
        compiled = [
            type(module).__name__
            for module in pl_module.modules()
            if _is_compiled(module) and self.schedule.layer in set(module.modules())
        ]
        if compiled:
            raise ValueError(
                f"Expected a layer in modules that are not compiled, since its edges change (got a"
                f" compiled {compiled[0]} around it). Train without torch.compile, and compile"
                f" what is left."
            )


def _is_compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` made it, or changed how it is called."""
    return (
        hasattr(module, "_orig_mod")
        or module._compiled_call_impl is not None
        or getattr(module, "_compiler_ctx", None) is not None
    )


def _renew_ddp(trainer: L.Trainer, pl_module: L.LightningModule) -> None:
    """Let DDP wait for gradients of the new parameters, not of those that are no more."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy.model = pl_module
        trainer.strategy.configure_ddp()


def _on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    """``state`` for other processes, which may not have this device."""
    return {name: it.cpu() if isinstance(it, Tensor) else it for name, it in state.items()}
