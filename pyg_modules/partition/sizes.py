"""How equal modules are: in units, and in what they cost to compute."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.graph.validate import check_edge_index
from pyg_modules.partition.labels import SHARED, check_labels


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
    num_modules = check_labels(labels, len(labels))
    check_edge_index(edge_index, num_units=len(labels), num_inputs=0)
    edge_index, labels = edge_index.cpu().long(), labels.cpu()
    source, target = labels[edge_index]
    receives = torch.zeros(len(labels), dtype=torch.bool)
    receives[edge_index[1]] = True
    from_input = (source == SHARED) & ~receives[edge_index[0]]
    kept = (source == target) | from_input | (target == SHARED)
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


def _largest_to_mean(values: list[int]) -> float:
    if not values:
        raise ValueError("Expected at least one module in labels (got only shared units).")
    total = sum(values)
    return max(values) * len(values) / total if total else 1.0
