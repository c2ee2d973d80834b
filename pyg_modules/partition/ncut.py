from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.ops.edge_sum import bind
from pyg_modules.partition.affinity import check_affinity, magnitude_of
from pyg_modules.partition.edges import PartitionedEdges
from pyg_modules.partition.validate import check_edge_weight


def ncut_loss(
    edge_index: Tensor, edge_weight: Tensor, assignment: Tensor, *, affinity: str = "abs"
) -> Tensor:
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
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of :math:`|w|`. (default: ``"abs"``)

    Returns:
        Tensor: A scalar in [0, 1].

    Raises:
        TypeError: If an argument is not a tensor.
        ValueError: If the shapes or the unit ids do not fit together, or ``affinity`` is unknown.
    """
    check_affinity(affinity)
    edges = PartitionedEdges.of_graph(edge_index, assignment)
    check_edge_weight(edge_index, edge_weight)
    return ncut_of(edges, magnitude_of(edge_weight, affinity), assignment)


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
    # Sparse products know no half precision.
    wide = torch.promote_types(magnitude.dtype, torch.float32)
    magnitude, assignment = magnitude.to(wide).index_select(0, edges.edge_ids), assignment.to(wide)
    # With W the magnitudes, A = (W + W^T) / 2: S_k^T A S_k = S_k^T W S_k, and
    # S_k^T A 1 = (S_k^T W 1 + 1^T W S_k) / 2, so that one product W [S, 1] gives both.
    ones = assignment.new_ones(assignment.size(0), 1)
    sums = bind(edges.operator, magnitude)(torch.cat([assignment, ones], dim=1))
    of_modules, of_all = sums[:, :-1], sums[:, -1]
    association = (assignment * of_modules).sum(dim=0)
    volume = (assignment.T @ of_all + of_modules.sum(dim=0)) / 2
    scale = volume
    if fixed_volume:
        scale = assignment.T @ (of_all.detach() + edges.leaving(magnitude.detach())) / 2
    has_volume = scale != 0  # NaN has, and spreads.
    # Dividing by 1 where there is no volume keeps the gradient finite as well.
    crossing = (volume - association) / torch.where(has_volume, scale, 1.0)
    return torch.where(has_volume, crossing, 1.0).mean()
