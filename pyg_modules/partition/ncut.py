from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.ops import EdgeBlock, EdgeOperator, SparseOperator
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
    operator = SparseOperator(EdgeBlock.among(edge_index, members))
    return ncut_of(operator, edge_weight.abs(), assignment)


def ncut_of(
    operator: EdgeOperator, magnitude: Tensor, assignment: Tensor, *, fixed_volume: bool = False
) -> Tensor:
    """The loss of :func:`ncut_loss` on the edges of ``operator``.

    Args:
        operator (EdgeOperator): The edges, among the units that are partitioned.
        magnitude (Tensor): Magnitudes of the weights of all edges of the graph, ``[E]``.
        assignment (Tensor): Soft assignment, ``[N, K]``.
        fixed_volume (bool, optional): Whether the gradient in ``magnitude`` takes the volumes in
            the denominators as constants. The value is the same. (default: ``False``)
    """
    weighted_sum = operator.bind(magnitude)
    # With W the magnitudes, A = (W + W^T) / 2, so S_k^T A S_k = S_k^T W S_k.
    association = (assignment * weighted_sum(assignment)).sum(dim=0)
    volume = assignment.T @ strength(operator, magnitude)
    scale = assignment.T @ strength(operator, magnitude.detach()) if fixed_volume else volume
    has_volume = scale > 0
    # Dividing by 1 where there is no volume keeps the gradient finite as well.
    crossing = (volume - association) / torch.where(has_volume, scale, 1.0)
    return torch.where(has_volume, crossing, 1.0).mean()


def strength(operator: EdgeOperator, magnitude: Tensor) -> Tensor:
    """Half the summed magnitudes into and out of every unit, ``A 1``, [N]."""
    block = operator.block
    half = magnitude.index_select(0, block.edge_ids) / 2
    zeros = half.new_zeros(block.num_sources)
    return zeros.index_add(0, block.source, half).index_add(0, block.target, half)
