from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch.utils.data import DataLoader, IterableDataset


def new_loader(loader: DataLoader[Any], epoch: int) -> DataLoader[Any]:
    """The same data without the workers of ``loader``, and without moving its samplers on.

    Args:
        loader (DataLoader): That of the training.
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
    return DataLoader(loader.dataset, collate_fn=loader.collate_fn, **batching)
