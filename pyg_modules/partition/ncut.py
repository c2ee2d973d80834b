from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.ops import EdgeBlock, EdgeOperator, SparseOperator, bind
from pyg_modules.partition.validate import check_assignment, check_edges


def ncut_loss(edge_index: Tensor, edge_weight: Tensor, assignment: Tensor) -> Tensor:
    r"""Soft normalized cut of a directed, signed graph.

    .. math::
        \mathrm{ncut}(S) = \frac{1}{K} \sum_k \Big[ 1 - \frac{S_k^\top A S_k}{S_k^\top A 1} \Big],
        \qquad a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    The term of a module without volume (:math:`S_k^\top A 1 = 0`) is 1. Time is :math:`O(E K)`,
    memory :math:`O(N K + E)`. Differentiable once in weights and assignment.

    From `Normalized Cuts and Image Segmentation <https://doi.org/10.1109/34.868688>`_.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        assignment (Tensor): Soft assignment :math:`S` of units to modules, ``[N, K]``, rows sum to
            1.

    Returns:
        Tensor: A scalar in [0, 1].

    Raises:
        ValueError: If the shapes or the unit ids do not fit together.
    """
    check_assignment(assignment)
    num_units = assignment.size(0)
    check_edges(edge_index, edge_weight, num_units)
    members = torch.ones(num_units, dtype=torch.bool, device=edge_index.device)
    edges = PartitionedEdges.build(edge_index, members)
    return ncut_of(edges, edge_weight.abs(), assignment)


class PartitionedEdges(NamedTuple):
    """The edges among the units that are partitioned, and the operator over them."""

    edge_ids: Tensor
    source: Tensor
    target: Tensor
    operator: EdgeOperator

    @classmethod
    def build(cls, edge_index: Tensor, members: Tensor) -> PartitionedEdges:
        """The edges between units of ``members``, a boolean mask ``[N]``, on its device."""
        block = EdgeBlock.among(edge_index.cpu(), members.cpu())
        device = members.device
        return cls(
            block.edge_ids.to(device),
            block.source.to(device),
            block.target.to(device),
            SparseOperator.build(block).to(device),
        )


def ncut_of(
    edges: PartitionedEdges, magnitude: Tensor, assignment: Tensor, *, fixed_volume: bool = False
) -> Tensor:
    """The loss of :func:`ncut_loss` on ``edges``.

    Args:
        edges (PartitionedEdges): The edges among the units that are partitioned.
        magnitude (Tensor): Magnitudes of the weights of all edges of the graph, ``[E]``.
        assignment (Tensor): Soft assignment, ``[N, K]``.
        fixed_volume (bool, optional): Whether the gradient in ``magnitude`` takes the volumes in
            the denominators as constants. The value is the same. (default: ``False``)
    """
    magnitude = magnitude.index_select(0, edges.edge_ids)
    weighted_sum = bind(edges.operator, magnitude)
    # With W the magnitudes, A = (W + W^T) / 2, so S_k^T A S_k = S_k^T W S_k.
    association = (assignment * weighted_sum(assignment)).sum(dim=0)
    volume = assignment.T @ strength(edges, magnitude)
    scale = assignment.T @ strength(edges, magnitude.detach()) if fixed_volume else volume
    has_volume = scale > 0
    # Dividing by 1 where there is no volume keeps the gradient finite as well.
    crossing = (volume - association) / torch.where(has_volume, scale, 1.0)
    return torch.where(has_volume, crossing, 1.0).mean()


def strength(edges: PartitionedEdges, magnitude: Tensor) -> Tensor:
    """Half the summed magnitudes [e] into and out of every unit, ``A 1``, [N]."""
    half = magnitude / 2
    zeros = half.new_zeros(edges.operator.num_sources)
    return zeros.index_add(0, edges.source, half).index_add(0, edges.target, half)
