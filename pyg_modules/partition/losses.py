"""How good a soft assignment of units to modules is; 0 is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.graph.validate import check_edge_index_form
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.tracing import is_compiling
from pyg_modules.partition.labels import check_soft_assignment
from pyg_modules.partition.search.size_bounds import checked_capacities
from pyg_modules.partition.soft_cut.soft_cut import soft_cut
from pyg_modules.partition.traced_units import TracedUnits
from pyg_modules.partition.units import EdgeList, Units


def ncut_loss(
    edge_index: Tensor, edge_weight: Tensor, assignment: Tensor, *, affinity: str = "abs"
) -> Tensor:
    r"""Soft normalized cut of a directed, signed graph.

    .. math::
        \mathrm{ncut}(S) = \frac{1}{K} \sum_k \Big[ 1 - \frac{S_k^\top A S_k}{S_k^\top A 1} \Big],
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    The term of a module without volume (:math:`S_k^\top A 1 = 0`) is 1. Time is
    :math:`O(E K + N K^2)`, memory :math:`O(N K + E)`. Differentiable once in weights and
    assignment.

    From `Normalized Cuts and Image Segmentation <https://doi.org/10.1109/34.868688>`_.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        assignment (Tensor): Soft assignment :math:`S` of units to modules, ``[N, K]``, rows sum to
            1.
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of :math:`|w|`. (default: ``"abs"``)

    Returns:
        Tensor: A scalar in [0, 1].

    Raises:
        TypeError: If an argument is not a tensor.
        ValueError: If the shapes or the unit ids do not fit together, rows do not sum to 1, or
            ``affinity`` is unknown.
    """
    check_soft_assignment(assignment)
    return ncut_of(_units_of(edge_index, edge_weight, assignment, affinity), assignment)


def balance_loss(assignment: Tensor, *, capacities: Sequence[int] | None = None) -> Tensor:
    r"""How unequal the modules are in units; 0 when balanced.

    .. math::
        \mathrm{balance}(S) = K \sum_k \Big( \frac{1}{N} \sum_i S_{ik} - \frac{c_k}{N} \Big)^2

    Args:
        assignment (Tensor): Soft assignment :math:`S` of units to modules, ``[N, K]``, rows sum to
            1.
        capacities (sequence of int, optional): Number of units :math:`c_k` that every module is to
            have; they add up to N. (default: :math:`N / K`)

    Returns:
        Tensor: A scalar, 0 or more; at most K - 1 without ``capacities``.

    Raises:
        TypeError: If ``assignment`` is not a tensor or a capacity not an integer.
        ValueError: If ``assignment`` is not ``[N, K]``, its rows do not sum to 1, or the capacities
            do not add up.
    """
    check_soft_assignment(assignment)
    return balance_of(assignment, capacities)


def cost_balance_loss(edge_index: Tensor, assignment: Tensor) -> Tensor:
    r"""How unequal the modules are in edges, which is what their computation costs.

    .. math::
        K \sum_k \Big( \frac{c_k}{\sum_l c_l} - \frac{1}{K} \Big)^2, \qquad
        c_k = \sum_{j \to i} S_{ik} S_{jk}

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]``, rows sum to 1.

    Returns:
        Tensor: A scalar in [0, K - 1]; 0 where no module has an edge.

    Raises:
        TypeError: If ``assignment`` is not a tensor.
        ValueError: If the shapes or the unit ids do not fit together, or rows do not sum to 1.
    """
    check_soft_assignment(assignment)
    check_edge_index_form(edge_index)
    # Edges cost the same, whatever their weights.
    weight = assignment.new_ones(edge_index.size(1))
    return cost_balance_of(_units_of(edge_index, weight, assignment), assignment)


def sharpness_loss(assignment: Tensor) -> Tensor:
    r"""How undecided the units are: the mean entropy of their assignment; 0 when all are sure.

    .. math::
        - \frac{1}{N \log K} \sum_{ik} S_{ik} \log S_{ik}

    Args:
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]``, rows sum to 1.

    Returns:
        Tensor: A scalar in [0, 1].

    Raises:
        TypeError: If ``assignment`` is not a tensor.
        ValueError: If it is not ``[N, K]`` with at least two modules, or rows do not sum to 1.
    """
    check_soft_assignment(assignment)
    num_modules = assignment.size(1)
    if num_modules < 2:
        raise ValueError(
            f"Expected at least two modules (got {num_modules})."
            " Give a column of the assignment for each."
        )
    return sharpness_of(assignment)


def ncut_of(units: Units, assignment: Tensor, *, fixed_volume: bool = False) -> Tensor:
    """The loss of :func:`ncut_loss` on ``units``.

    Args:
        units (Units): The units that are partitioned.
        assignment (Tensor): Soft assignment, ``[n, K]``.
        fixed_volume (bool, optional): Whether the gradient in the weights takes the volumes in the
            denominators as constants. The value is the same. (default: ``False``)
    """
    magnitude = units.magnitudes()
    assignment = assignment.to(magnitude.dtype)
    return soft_cut(units.edges, magnitude, assignment, fixed_volume=fixed_volume)


def cost_balance_of(units: Units, assignment: Tensor) -> Tensor:
    """The loss of :func:`cost_balance_loss` on ``units``."""
    # Sparse products know no half precision.
    assignment = assignment.to(torch.promote_types(assignment.dtype, torch.float32))
    num_modules = assignment.size(1)
    edges = units.edges
    ones = assignment.new_ones(edges.source.numel())
    cost = (assignment * bind(edges.operator, ones)(assignment)).sum(dim=0)
    total = cost.sum()
    # Where nothing costs anything, all shares are equal; dividing by 1 keeps the gradient finite.
    has_cost = total != 0  # NaN has, and spreads.
    share = torch.where(has_cost, cost / torch.where(has_cost, total, 1.0), 1 / num_modules)
    return num_modules * _square_norm(share - 1 / num_modules)


def balance_of(assignment: Tensor, capacities: Sequence[int] | None) -> Tensor:
    """The loss of :func:`balance_loss`."""
    num_units, num_modules = assignment.shape
    share = assignment.mean(dim=0)
    if capacities is None:
        return num_modules * _square_norm(share - 1 / num_modules)
    sizes = checked_capacities(capacities, num_units, num_modules)
    target = torch.from_numpy(sizes / num_units).to(share)
    return num_modules * _square_norm(share - target)


def sharpness_of(assignment: Tensor) -> Tensor:
    """The loss of :func:`sharpness_loss`."""
    # The derivative of the entropy is infinite at 0, where a softmax ends when it is rounded.
    positive = assignment.clamp(min=torch.finfo(assignment.dtype).tiny)
    entropy: Tensor = torch.special.entr(positive).sum(dim=1)
    return entropy.mean() / log(assignment.size(1))


def _square_norm(values: Tensor) -> Tensor:
    return values.dot(values)


def _units_of(
    edge_index: Tensor, edge_weight: Tensor, assignment: Tensor, affinity: str = "abs"
) -> Units:
    num_units = len(assignment)
    if isinstance(edge_weight, Tensor) and edge_weight.device != assignment.device:
        raise ValueError(
            f"Expected edge_weight on device {assignment.device}, that of the assignment (got"
            f" {edge_weight.device}). Use edge_weight.to({str(assignment.device)!r})."
        )
    if is_compiling():
        return TracedUnits(edge_index, edge_weight, num_units, affinity)
    return Units(EdgeList.of(edge_index, edge_weight, num_units), affinity=affinity)


class Loss(NamedTuple):
    """A term of the penalty of a :class:`PartitionRegularizer`.

    Args:
        of (callable): The scalar loss of ``(units, assignment)``: :class:`Units`, n of them, and
            their soft assignment to modules, ``[n, K]``, rows sum to 1.
        coefficient (float, optional): That of regularizers by default. (default: 0.0)
    """

    of: Callable[[Units, Tensor], Tensor]
    coefficient: float = 0.0


#: By name, which is that of its coefficient too, every term of the penalty.
LOSSES = {
    "ncut": Loss(partial(ncut_of, fixed_volume=True), 1.0),
    "balance": Loss(lambda units, s: balance_of(s, units.capacities), 3.0),
    "cost_balance": Loss(cost_balance_of),
    "sharpness": Loss(lambda _, s: sharpness_of(s)),
}
