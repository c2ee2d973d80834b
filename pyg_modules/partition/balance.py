"""How unequal modules are, in units and in edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_modules.ops.edge_sum import bind
from pyg_modules.partition.edges import PartitionedEdges
from pyg_modules.partition.size_bounds import SizeBounds
from pyg_modules.partition.validate import check_assignment


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
        ValueError: If ``assignment`` is not ``[N, K]``, or the capacities do not add up.
    """
    check_assignment(assignment)
    num_units, num_modules = assignment.shape
    share = assignment.mean(dim=0)
    if capacities is None:
        return num_modules * (share - 1 / num_modules).square().sum()
    sizes = SizeBounds.of(num_units, num_modules, capacities).largest
    target = torch.from_numpy(sizes / num_units).to(share)
    return num_modules * (share - target).square().sum()


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
        ValueError: If the shapes or the unit ids do not fit together.
    """
    return cost_balance_of(PartitionedEdges.of_graph(edge_index, assignment), assignment)


def cost_balance_of(edges: PartitionedEdges, assignment: Tensor) -> Tensor:
    """The loss of :func:`cost_balance_loss` on ``edges``."""
    # Sparse products know no half precision.
    assignment = assignment.to(torch.promote_types(assignment.dtype, torch.float32))
    num_modules = assignment.size(1)
    ones = assignment.new_ones(edges.source.numel())
    cost = (assignment * bind(edges.operator, ones)(assignment)).sum(dim=0)
    total = cost.sum()
    # Where nothing costs anything, all shares are equal; dividing by 1 keeps the gradient finite.
    share = torch.where(total > 0, cost / torch.where(total > 0, total, 1.0), 1 / num_modules)
    return num_modules * (share - 1 / num_modules).square().sum()
