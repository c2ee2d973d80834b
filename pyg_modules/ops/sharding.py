"""Tensors in parts on several ranks, as ``torch.distributed.fsdp.fully_shard`` makes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether ``tensor`` is a ``DTensor``, of which other ranks may hold a part."""
    # Its module takes long to import, and is imported where there is one.
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """``tensor`` with its parts on all ranks, differentiable where all compute the same with it.

    All ranks have to ask for it.
    """
    of_parts: Any = tensor
    gathered: Tensor = of_parts.full_tensor() if is_sharded(tensor) else tensor
    return gathered


def overwrite(tensor: Tensor, values: Tensor) -> None:
    """Set ``tensor`` to the whole ``values``, those of the first rank."""
    with torch.no_grad():
        tensor.copy_(_like(values, tensor) if is_sharded(tensor) else values)


def clear(tensor: Tensor, kept: Tensor) -> None:
    """Set to 0 the entries of ``tensor`` that ``kept``, a whole mask, does not mark."""
    local: Any = tensor
    if is_sharded(tensor):
        local, kept = local.to_local(), _like(kept, tensor).to_local()
    with torch.no_grad():
        local[~kept.to(local.device)] = 0


def _like(values: Tensor, tensor: Tensor) -> Any:
    """The whole ``values`` in parts, as ``tensor`` is."""
    from torch.distributed.tensor import distribute_tensor

    of_parts: Any = tensor
    return distribute_tensor(values, of_parts.device_mesh, of_parts.placements)
