"""How good a hard partition is."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.partition.labels import check_labels
from pyg_modules.partition.validate import check_edges


def normalized_cut(edge_index: Tensor, edge_weight: Tensor, labels: Tensor) -> float:
    r"""Mean normalized cut of the modules, the value of :func:`ncut_loss` at hard labels.

    .. math::
        \frac{1}{K} \sum_k \Big[ 1 - \frac{A(k, k)}{A(k, \cdot)} \Big],
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    Edges that touch a shared unit do not count.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        float: 0 when no weight crosses between modules, 1 when all does or there is none.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If the shapes do not fit together, or ``labels`` has a gap or no module.
    """
    crossing, volume = _crossing_and_volume(edge_index, edge_weight, labels)
    return float(torch.where(volume > 0, crossing / volume, 1.0).mean())


def cut_fraction(edge_index: Tensor, edge_weight: Tensor, labels: Tensor) -> float:
    r"""Share of the summed weight magnitude that lies on edges between modules.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units, whose edges do not
            count.

    Returns:
        float: In [0, 1]; 0 if there is no weight at all.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If the shapes do not fit together, or ``labels`` has a gap or no module.
    """
    crossing, volume = _crossing_and_volume(edge_index, edge_weight, labels)
    total = volume.sum()
    return float(crossing.sum() / total) if total > 0 else 0.0


def module_sizes(labels: Tensor) -> list[int]:
    """Number of units of every module.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        list of int: One size per module.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` has a gap.
    """
    num_modules = check_labels(labels, len(labels))
    return torch.bincount(labels[labels >= 0], minlength=num_modules).tolist()


def _crossing_and_volume(
    edge_index: Tensor, edge_weight: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Magnitude that leaves or enters every module, and all around it, ``[K]`` each, in double."""
    num_modules = check_labels(labels, len(labels))
    if num_modules == 0:
        raise ValueError("Expected at least one module in labels (got only shared units).")
    check_edges(edge_index, edge_weight, len(labels))
    source, target = labels.cpu()[edge_index.cpu()]
    counted = (source >= 0) & (target >= 0)
    source, target = source[counted], target[counted]
    half = edge_weight.detach().cpu()[counted].abs().double() / 2

    def around_modules(magnitude: Tensor) -> Tensor:
        zeros = magnitude.new_zeros(num_modules)
        return zeros.index_add(0, source, magnitude).index_add(0, target, magnitude)

    return around_modules(half * (source != target)), around_modules(half)
