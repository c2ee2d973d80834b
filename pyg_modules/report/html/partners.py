from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def strongest_partners(unit: Tensor, partner: Tensor, weight: Tensor, num: int) -> list[list[int]]:
    """The strongest edges of every unit.

    Args:
        unit (LongTensor): By edge, the unit that is asked for, ``[E]``, such as the targets.
        partner (LongTensor): By edge, the unit at the other end, ``[E]``; orders equal weights.
        weight (Tensor): ``[E]``.
        num (int): How many edges of a unit are returned at most.

    Returns:
        list of list of int: By unit, up to the largest with an edge, its edges whose weight is not
        0, the one of the largest magnitude first.
    """
    edges: list[list[int]] = [[] for _ in range(int(unit.max()) + 1 if len(unit) else 0)]
    order = torch.argsort(partner, stable=True)
    order = order[weight[order] != 0]
    order = order[torch.argsort(weight[order].abs(), descending=True, stable=True)]
    for edge, of_unit in zip(order.tolist(), unit[order].tolist(), strict=True):
        if len(edges[of_unit]) < num:
            edges[of_unit].append(edge)
    return edges


def describe_partners(
    edges: Sequence[int], partner: Tensor, weight: Tensor, names: Sequence[str]
) -> str:
    """The partners and the signed weights of some edges, a line each: ``"input 3 +0.250"``."""
    lines = [f"{names[int(partner[edge])]} {_signed(float(weight[edge]))}" for edge in edges]
    return "\n".join(lines)


def _signed(weight: float) -> str:
    text = f"{weight:+.3f}" if abs(weight) >= 1e-3 else f"{weight:+.1e}"
    return text.replace("-", "−", 1) if weight < 0 else text
