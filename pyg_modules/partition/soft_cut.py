"""The soft normalized cut, as a composition of operations and with its gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.autocast import without_autocast
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.few_columns import multiply_transposed
from pyg_modules.ops.tracing import is_tracing
from pyg_modules.partition.units import PartitionedEdges


def soft_cut(
    edges: PartitionedEdges, magnitude: Tensor, assignment: Tensor, *, fixed_volume: bool
) -> Tensor:
    """The soft normalized cut, a scalar, of :func:`ncut_loss`.

    Args:
        edges (PartitionedEdges): The edges among the units that are partitioned.
        magnitude (Tensor): What they count, ``[e]``, single or double.
        assignment (Tensor): Soft assignment of the units, ``[n, K]``, of the same dtype.
        fixed_volume (bool): Whether the gradient in the magnitudes takes volumes as constants.
    """
    # Who traces has to look into it, and what is large is not paid for by the operation.
    if is_tracing() or not isinstance(edges.operator, DenseOperator):
        return composed_cut(edges, magnitude, assignment, fixed_volume)
    with without_autocast(magnitude.device):
        loss: Tensor = _DenseCut.apply(  # type: ignore[no-untyped-call]
            edges, magnitude, assignment, fixed_volume
        )
    return loss


def composed_cut(
    edges: PartitionedEdges, magnitude: Tensor, assignment: Tensor, fixed_volume: bool
) -> Tensor:
    """The definition, of torch's own operations: any transformation of torch can look into it."""
    # With W the magnitudes, A = (W + W^T) / 2: S_k^T A S_k = S_k^T W S_k, and
    # S_k^T A 1 = (S_k^T W 1 + 1^T W S_k) / 2, so that one product W [S, 1] gives both.
    ones = assignment.new_ones(assignment.size(0), 1)
    sums = bind(edges.operator, magnitude)(torch.cat([assignment, ones], dim=1))
    of_modules, of_all = sums[:, :-1], sums[:, -1]
    association = (assignment * of_modules).sum(dim=0)
    volume = (assignment.T @ of_all + of_modules.sum(dim=0)) / 2
    scale = volume
    if fixed_volume:
        leaving = torch.zeros_like(ones[:, 0]).index_add(0, edges.source, magnitude.detach())
        scale = assignment.T @ (of_all.detach() + leaving) / 2
    has_volume = ~_is_empty(scale)
    # Dividing by 1 where there is no volume keeps the gradient finite as well.
    crossing = (volume - association) / torch.where(has_volume, scale, 1.0)
    loss = torch.where(has_volume, crossing, 1.0).mean()
    # Of modules that are separate, rounding may leave less than 0.
    return torch.where(loss < 0, loss - loss.detach(), loss)


def _is_empty(volume: Tensor) -> Tensor:
    """Which modules have no volume, or one whose inverse would overflow; NaN has, and spreads."""
    limits = torch.finfo(volume.dtype)
    return volume < limits.tiny / limits.eps


class _DenseCut(torch.autograd.Function):
    r"""The same by a dense matrix, for calls that autograd alone looks at, in fewer operations.

    Small graphs are paid for by the operation, and twice for one with a number of Python. With
    :math:`W` the magnitudes, :math:`a_k = S_k^\top W S_k` and twice the volumes,
    :math:`u_k = S_k^\top W 1 + 1^\top W S_k`, are on the diagonal of
    :math:`[S, 1]^\top W [S, 1]` and in its last row and column. The loss
    :math:`1 - \frac{2}{K} \sum_k a_k / u_k` has the gradient

    .. math::
        \frac{\partial}{\partial S_{ik}} = \frac{2}{K} \Big( \frac{a_k}{u_k^2}
            \big((W + W^\top) 1\big)_i - \frac{1}{u_k} \big((W + W^\top) S_k\big)_i \Big), \qquad
        \frac{\partial}{\partial W_{ij}} = \frac{2}{K} \sum_k h_k (S_{ik} + S_{jk})
            - \frac{1}{u_k} S_{ik} S_{jk}

    with :math:`h_k = a_k / u_k^2`, or :math:`1 / 2 u_k` if volumes are constants. Second
    derivatives are those of :func:`composed_cut`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        edges: PartitionedEdges,
        magnitude: Tensor,
        assignment: Tensor,
        fixed_volume: bool,
    ) -> Tensor:
        matrix = edges.operator.prepare(magnitude)
        both = torch.cat([assignment, assignment.new_ones(len(assignment), 1)], dim=1)
        sums = matrix @ both
        pairs = both.T @ sums
        volume = pairs[:-1, -1] + pairs[-1, :-1]
        # Over infinity, a module without volume keeps nothing and has no gradient. NaN spreads.
        volume = volume.masked_fill(_is_empty(volume), torch.inf)
        kept = pairs.diagonal()[:-1] / volume
        ctx.edges, ctx.fixed_volume = edges, fixed_volume
        ctx.save_for_backward(magnitude, assignment, matrix, both, sums, volume, kept)
        loss = torch.sub(both.new_ones(()), kept.sum(), alpha=2 / len(kept))
        return loss.clamp_(min=0)  # Rounding.

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        magnitude, assignment, matrix, both, sums, volume, kept = ctx.saved_tensors
        needs_magnitude, needs_assignment = ctx.needs_input_grad[1:3]
        of_magnitude = of_assignment = None
        if torch.is_grad_enabled():  # That is, with create_graph=True.
            inputs = [of for of in (magnitude, assignment) if of.requires_grad]
            loss = composed_cut(ctx.edges, magnitude, assignment, ctx.fixed_volume)
            found = list(torch.autograd.grad(loss, inputs, grad, create_graph=True))
            of_magnitude = found.pop(0) if needs_magnitude else None
            of_assignment = found.pop(0) if needs_assignment else None
            return None, of_magnitude, of_assignment, None
        inverse = volume.reciprocal()
        of_volume = kept * inverse
        scale = grad * (2 / len(kept))
        with without_autocast(volume.device):  # That of who calls backward.
            if needs_assignment:
                sums = multiply_transposed(matrix.T, both, sums.clone(), adds=True)
                gradient = sums[:, -1:] * of_volume
                of_assignment = scale * gradient.addcmul_(sums[:, :-1], inverse, value=-1)
            if needs_magnitude:
                half = inverse / 2 if ctx.fixed_volume else of_volume
                left = half - assignment * inverse, (assignment @ half).unsqueeze(1)
                gradient = torch.cat(left, dim=1) @ both.T
                of_magnitude = scale * ctx.edges.operator.edge_gradient(gradient)
        return None, of_magnitude, of_assignment, None
