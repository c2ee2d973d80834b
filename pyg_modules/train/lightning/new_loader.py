from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, IterableDataset

from pyg_modules._reference import Reference


def new_loader(trainer: L.Trainer, loader: DataLoader[Any], epoch: int) -> DataLoader[Any]:
    """The same data without the workers of ``loader``, and without moving its samplers on.

    Batches are as a step of the training gets them: in its precision, on its device, and through
    the hooks of the ``LightningModule`` or the ``LightningDataModule``.

    Args:
        trainer (Trainer): That of the training.
        loader (DataLoader): Its data.
        epoch (int): Where samplers are told the epoch, as a ``DistributedSampler`` is, their order
            is that of this one.
    """
    batching: dict[str, Any]
    sampler: Any
    if isinstance(loader.dataset, IterableDataset):
        sampler = None
        batching = {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
    elif loader.batch_sampler is not None:
        batches = deepcopy(loader.batch_sampler)
        sampler = getattr(batches, "sampler", None)
        batching = {"batch_sampler": batches}
    else:
        sampler = deepcopy(loader.sampler)
        batching = {"batch_size": None, "sampler": sampler}
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    return _Received(trainer, loader.dataset, collate_fn=loader.collate_fn, **batching)


class _Received(DataLoader[Any]):
    """The batches of a loader after all that Lightning does to them before a step."""

    def __init__(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        self._trainer = Reference(trainer)
        super().__init__(*args, **kwargs)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        trainer = self._trainer()
        for batch in super().__iter__():
            converted = trainer.precision_plugin.convert_input(batch)
            converted = trainer.lightning_module._on_before_batch_transfer(converted)
            yield trainer.strategy.batch_to_device(converted)
