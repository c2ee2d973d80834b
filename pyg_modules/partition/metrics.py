"""How good a hard partition is, and how equal its modules: in units, and in what they cost."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.graph.validate import check_edge_index
from pyg_modules.partition.labels import SHARED, may_join, read_labels
from pyg_modules.partition.units import check_edge_weight, check_finite


def normalized_cut(edge_index: Tensor, edge_weight: Tensor, labels: Tensor) -> float:
    r"""Mean normalized cut of the modules, the value of :func:`ncut_loss` at hard labels.

    .. math::
        \frac{1}{K} \sum_k \Big[ 1 - \frac{A(k, k)}{A(k, \cdot)} \Big],
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    Edges that touch a shared unit do not count. A low one is what the penalty makes of any modules,
    and does not show that they are the right ones: see :class:`Verdict`.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        float: 0 when no weight crosses between modules, 1 when all does or there is none.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If the shapes do not fit together, a weight is not finite, or ``labels`` has a
            gap or no module.
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
        ValueError: If the shapes do not fit together, a weight is not finite, or ``labels`` has a
            gap or no module.
    """
    crossing, volume = _crossing_and_volume(edge_index, edge_weight, labels)
    total = volume.sum()
    return float(crossing.sum() / total) if total > 0 else 0.0


def modularity(edge_index: Tensor, edge_weight: Tensor, labels: Tensor) -> float:
    r"""Newman's modularity: the weight within modules, less what chance would put there.

    .. math::
        Q = \sum_k \bigg[ \frac{A(k, k)}{A(\cdot, \cdot)} -
        \Big( \frac{A(k, \cdot)}{A(\cdot, \cdot)} \Big)^2 \bigg],
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    A self-loop is on the diagonal of :math:`A` and counts once in the volume of its unit.

    From `Modularity and community structure in networks
    <https://doi.org/10.1073/pnas.0601602103>`_.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units, whose edges do not
            count.

    Returns:
        float: In [-1/2, 1); 0 for a single module, or if there is no weight at all.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If the shapes do not fit together, a weight is not finite, or ``labels`` has a
            gap or no module.
    """
    crossing, volume = _crossing_and_volume(edge_index, edge_weight, labels)
    total = volume.sum()
    if total == 0:
        return 0.0
    return float(((volume - crossing) / total - (volume / total).square()).sum())


def conductance(edge_index: Tensor, edge_weight: Tensor, labels: Tensor) -> list[float]:
    r"""How open every module is: what crosses, relative to its volume or that of all others.

    .. math::
        \phi_k = \frac{A(k, \bar k)}{\min(A(k, \cdot), A(\bar k, \cdot))},
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    A module without volume counts 1, as in :func:`normalized_cut`; a module that has all the volume
    counts 0, as nothing crosses.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units, whose edges do not
            count.

    Returns:
        list of float: One value in [0, 1] per module; 0 when no weight crosses its border.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If the shapes do not fit together, a weight is not finite, or ``labels`` has a
            gap or no module.
    """
    crossing, volume = _crossing_and_volume(edge_index, edge_weight, labels)
    # Summed over the others, and not subtracted from the total, where rounding would leave weight.
    others = (1 - torch.eye(len(volume), dtype=volume.dtype, device=volume.device)) @ volume
    smaller = torch.minimum(volume, others)
    without = (volume == 0).to(volume)
    return torch.where(smaller > 0, crossing / smaller, without).tolist()


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
    labels, num_modules = read_labels(labels)
    return torch.bincount(labels[labels >= 0], minlength=num_modules).tolist()


def module_costs(edge_index: Tensor, labels: Tensor) -> list[int]:
    """Number of edges that every module keeps after the cut, and so computes in each update.

    These are the edges within the module, those from a shared input into it, and those from it to a
    shared output. A shared unit that itself receives an edge is an output: its feedback is cut.
    Edges between shared units belong to no module.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``, before or after the cut.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        list of int: One number of edges per module.

    Raises:
        TypeError: If ``edge_index`` or ``labels`` is not an integer tensor.
        ValueError: If ``edge_index`` is not ``[2, E]``, names an unknown unit or repeats an edge,
            or ``labels`` has a gap.
    """
    labels, num_modules = read_labels(labels)
    check_edge_index(edge_index, num_units=len(labels), num_inputs=0)
    edge_index, labels = edge_index.cpu().long(), labels.cpu()
    source, target = labels[edge_index]
    receives = torch.zeros_like(labels, dtype=torch.bool)
    receives[edge_index[1]] = True
    kept = may_join(source, target, ~receives[edge_index[0]])
    # Shared ends have the smaller label, −1.
    module = torch.maximum(source, target)[kept]
    return torch.bincount(module[module != SHARED], minlength=num_modules).tolist()


def size_balance(labels: Tensor) -> float:
    r"""The largest module relative to the mean, in units.

    .. math::
        \frac{\max_k n_k}{\frac{1}{K} \sum_k n_k}

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        float: In [1, K]; 1 when balanced.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` has a gap or no module.
    """
    return _largest_to_mean(module_sizes(labels))


def cost_balance(edge_index: Tensor, labels: Tensor) -> float:
    r"""The most expensive module relative to the mean, in edges: what a parallel run waits for.

    .. math::
        \frac{\max_k c_k}{\frac{1}{K} \sum_k c_k}, \qquad c = \text{module\_costs}

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``, before or after the cut.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.

    Returns:
        float: In [1, K]; 1 when balanced, or if no module has an edge.

    Raises:
        TypeError: If ``edge_index`` or ``labels`` is not an integer tensor.
        ValueError: If ``edge_index`` is not ``[2, E]``, names an unknown unit or repeats an edge,
            or ``labels`` has a gap or no module.
    """
    return _largest_to_mean(module_costs(edge_index, labels))


def _crossing_and_volume(
    edge_index: Tensor, edge_weight: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Magnitude that leaves or enters every module, and all around it, ``[K]`` each, in double."""
    labels, num_modules = read_labels(labels)
    check_edge_index(edge_index, len(labels), num_inputs=0)
    check_edge_weight(edge_index, edge_weight)
    if num_modules == 0:
        raise ValueError(
            "Expected at least one module in labels (got only shared units)."
            " Give hidden units the number of their module, from 0."
        )
    check_finite(edge_weight)
    source, target = labels.cpu()[edge_index.cpu()]
    counted = (source >= 0) & (target >= 0)
    source, target = source[counted], target[counted]
    half = edge_weight.detach().cpu()[counted].abs().double() / 2

    def around_modules(magnitude: Tensor) -> Tensor:
        zeros = magnitude.new_zeros(num_modules)
        return zeros.index_add(0, source, magnitude).index_add(0, target, magnitude)

    return around_modules(half * (source != target)), around_modules(half)


def _largest_to_mean(values: list[int]) -> float:
    if not values:
        raise ValueError(
            "Expected at least one module in labels (got only shared units)."
            " Give hidden units the number of their module, from 0."
        )
    total = sum(values)
    return max(values) * len(values) / total if total else 1.0
