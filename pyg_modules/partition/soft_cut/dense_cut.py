from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.autocast import without_autocast
from pyg_modules.ops.few_columns import multiply_transposed
from pyg_modules.partition.soft_cut.composed_cut import empty_volume, gradients_with_graph
from pyg_modules.partition.units import PartitionedEdges


class DenseCut(torch.autograd.Function):
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
        """The loss; see :func:`soft_cut`."""
        matrix = edges.operator.prepare(magnitude)
        both = torch.cat([assignment, assignment.new_ones(len(assignment), 1)], dim=1)
        sums = matrix @ both
        pairs = both.T @ sums
        volume = pairs[:-1, -1] + pairs[-1, :-1]
        # Over infinity, a module without volume keeps nothing and has no gradient. NaN spreads.
        inverse = volume.masked_fill_(volume < empty_volume(volume.dtype), torch.inf).reciprocal_()
        kept = pairs.diagonal()[:-1] * inverse
        ctx.edges, ctx.fixed_volume = edges, fixed_volume
        ctx.save_for_backward(magnitude, assignment, matrix, both, sums, inverse, kept)
        loss = torch.sub(both.new_ones(()), kept.sum(), alpha=2 / len(kept))
        return loss.clamp_(min=0)  # Rounding.

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients in magnitudes and assignment."""
        if torch.is_grad_enabled():  # That is, with create_graph=True.
            return gradients_with_graph(ctx, grad)
        _, assignment, matrix, both, sums, inverse, kept = ctx.saved_tensors
        needs_magnitude, needs_assignment = ctx.needs_input_grad[1:3]
        of_magnitude = of_assignment = None
        scaled = inverse * (grad * (2 / len(kept)))
        of_volume = kept * scaled
        with without_autocast(inverse.device):  # That of who calls backward.
            if needs_assignment:
                sums = multiply_transposed(matrix.T, both, sums.clone(), adds=True)
                gradient = sums[:, -1:] * of_volume
                of_assignment = gradient.addcmul_(sums[:, :-1], scaled, value=-1)
            if needs_magnitude:
                half = scaled / 2 if ctx.fixed_volume else of_volume
                left = half - assignment * scaled, (assignment @ half).unsqueeze(1)
                gradient = torch.cat(left, dim=1) @ both.T
                of_magnitude = ctx.edges.operator.edge_gradient(gradient)
        return None, of_magnitude, of_assignment, None
