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


def csr_index(edges: EdgeSet) -> tuple[Tensor, ...]:
    """The ``edges`` by target and, transposed, by source.

    Returns:
        tuple of Tensor: ``offsets [num_targets + 1]`` and ``column [e]``: the sources of the edges,
        target by target; ``offsets [num_sources + 1]`` and ``column [e]`` of the transpose; and
        ``order [e]``, ``inverse [e]``: from the order of the set to that of the transpose, and
        back.
    """
    order = torch.argsort(edges.source * edges.num_targets + edges.target)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    # 32-bit indices halve the traffic of the kernels, which convert 64-bit ones at every call.
    dtype = torch.int32 if edges.num_edges < 2**31 else torch.int64
    return (
        compress(edges.target, edges.num_targets).to(dtype),
        edges.source.to(dtype),
        compress(edges.source[order], edges.num_sources).to(dtype),
        edges.target[order].to(dtype),
        order,
        inverse,
    )
