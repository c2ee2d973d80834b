"""Index structures of sparse matrices in compressed rows."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.ops.edge_set import EdgeSet


def compress(ids: Tensor, size: int) -> Tensor:
    """Where each of ``size`` rows begins in the ascending row ``ids``, and the end, [size + 1]."""
    offsets = torch.zeros(size + 1, dtype=torch.long, device=ids.device)
    torch.cumsum(torch.bincount(ids, minlength=size), 0, out=offsets[1:])
    return offsets


def csr_index(block: EdgeSet) -> tuple[Tensor, ...]:
    """The edges of ``block`` by target and, transposed, by source.

    Returns:
        tuple of Tensor: ``offsets [num_targets + 1]`` and ``column [e]``: the sources of the edges,
        target by target; ``offsets [num_sources + 1]`` and ``column [e]`` of the transpose; and
        ``order [e]``, ``inverse [e]``: from the order of the block to that of the transpose, and
        back.
    """
    order = torch.argsort(block.source * block.num_targets + block.target)
    # 32-bit indices halve the traffic of the kernels, which convert 64-bit ones at every call.
    dtype = torch.int32 if block.num_edges < 2**31 else torch.int64
    return (
        compress(block.target, block.num_targets).to(dtype),
        block.source.to(dtype),
        compress(block.source[order], block.num_sources).to(dtype),
        block.target[order].to(dtype),
        order,
        torch.argsort(order),
    )
