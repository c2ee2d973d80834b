"""The soft normalized cut as a composition of operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.edge_sum import bind
from pyg_modules.partition.units import PartitionedEdges


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
    has_volume = ~(scale < empty_volume(scale.dtype))  # NaN has, and spreads.
    # Dividing by 1 where there is no volume keeps the gradient finite as well.
    crossing = (volume - association) / torch.where(has_volume, scale, 1.0)
    loss = torch.where(has_volume, crossing, 1.0).mean()
    # Of modules that are separate, rounding may leave less than 0.
    return torch.where(loss < 0, loss - loss.detach(), loss)


def empty_volume(dtype: torch.dtype) -> float:
    """A volume that is smaller is none: its inverse would overflow."""
    limits = torch.finfo(dtype)
    return limits.tiny / limits.eps


def gradients_with_graph(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Those of a closed form that can be differentiated again: of the composition.

    Args:
        ctx (object): Of the closed form. Its inputs are edges, magnitudes, assignment and whether
            volumes are fixed; what it saved begins with the second and the third.
        grad (Tensor): Of the loss.
    """
    magnitude, assignment = ctx.saved_tensors[:2]
    needs_magnitude, needs_assignment = ctx.needs_input_grad[1:3]
    inputs = [of for of in (magnitude, assignment) if of.requires_grad]
    loss = composed_cut(ctx.edges, magnitude, assignment, ctx.fixed_volume)
    found = list(torch.autograd.grad(loss, inputs, grad, create_graph=True))
    of_magnitude = found.pop(0) if needs_magnitude else None
    of_assignment = found.pop(0) if needs_assignment else None
    return None, of_magnitude, of_assignment, None
