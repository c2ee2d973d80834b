from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.tracing import is_tracing


class WeightSplit:
    """The weights of a graph taken apart into sets of edges, each in an order of its own.

    Edges that are listed set by set are told apart without moving any; only sets in another order
    are sorted then.

    Args:
        edge_ids (sequence of LongTensor): Positions of the edges of every set, in its order.
        num_edges (int): Number of edges of the graph. An edge may be in several sets.
        device (torch.device): Where the weights are.
    """

    def __init__(self, edge_ids: Sequence[Tensor], num_edges: int, device: torch.device) -> None:
        self._sizes = [ids.numel() for ids in edge_ids]
        starts = torch.tensor([0, *self._sizes], device="cpu").cumsum(0).tolist()
        within = [ids - start for ids, start in zip(edge_ids, starts, strict=False)]
        is_listed_by_set = starts[-1] == num_edges and all(
            bool(((ids >= 0) & (ids < ids.numel())).all()) for ids in within
        )
        if is_listed_by_set:
            self._whole = None
            self._orders = [_order(ids, ids.numel(), device) for ids in within]
        else:
            self._whole = _order(torch.cat(list(edge_ids)), num_edges, device)
            self._orders = [None] * len(edge_ids)

    def __call__(self, weight: Tensor) -> tuple[Tensor, ...]:
        """The weights of every set, differentiable in ``weight`` [E]."""
        ordered = weight if self._whole is None else self._whole(weight)
        parts = torch.split(ordered, self._sizes)
        return tuple(
            part if order is None else order(part)
            for part, order in zip(parts, self._orders, strict=True)
        )


class _Order:
    def __init__(self, order: Tensor, inverse: Tensor | None) -> None:
        self._order, self._inverse = order, inverse

    def __call__(self, values: Tensor) -> Tensor:
        if self._inverse is None or is_tracing():
            return values.index_select(0, self._order)
        permuted: Tensor = _Permute.apply(  # type: ignore[no-untyped-call]
            values, self._order, self._inverse
        )
        return permuted


def _order(ids: Tensor, count: int, device: torch.device) -> _Order | None:
    """The selection of ``ids`` among ``count`` values; ``None`` for all of them as they are."""
    if torch.equal(ids, torch.arange(count, device=ids.device)):
        return None
    # What is selected twice has no inverse.
    inverse = torch.argsort(ids).to(device) if ids.numel() == count else None
    return _Order(ids.to(device), inverse)


class _Permute(torch.autograd.Function):
    """``values[order]``; going back by the inverse is faster than by adding up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return values.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None
