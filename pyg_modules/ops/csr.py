"""Index structures of sparse matrices in compressed rows."""

from __future__ import annotations

import torch
from scipy.sparse import csr_array
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
    # 32-bit indices halve the traffic of the kernels, which convert 64-bit ones at every call.
    dtype = torch.int32 if edges.num_edges < 2**31 else torch.int64
    offsets = compress(edges.target, edges.num_targets).to(dtype)
    column, place = edges.source.to(dtype), torch.arange(edges.num_edges)
    shape = edges.num_targets, edges.num_sources
    # It is transposed by counting, which takes a fraction of a sort.
    transposed = csr_array((place.numpy(), column.numpy(), offsets.numpy()), shape=shape).tocsc()
    order = torch.from_numpy(transposed.data)
    inverse = torch.empty_like(order)
    inverse[order] = place
    return (
        offsets,
        column,
        torch.from_numpy(transposed.indptr).to(dtype),
        torch.from_numpy(transposed.indices).to(dtype),
        order,
        inverse,
    )
