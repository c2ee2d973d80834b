from __future__ import annotations

from functools import cache
from typing import Any

import numpy
import torch
from torch import Tensor

from pyg_modules import _numba
from pyg_modules.partition.soft_cut.composed_cut import empty_volume, gradients_with_graph
from pyg_modules.partition.units import PartitionedEdges


class CompiledCut(torch.autograd.Function):
    """What :class:`DenseCut` is, in one call of a compiled loop, which finds the gradients, too."""

    @staticmethod
    def forward(
        ctx: Any,
        edges: PartitionedEdges,
        magnitude: Tensor,
        assignment: Tensor,
        fixed_volume: bool,
    ) -> Tensor:
        """The loss; see :func:`soft_cut`."""
        inputs = magnitude.detach().contiguous(), assignment.detach().contiguous()
        found = tuple(map(torch.empty_like, inputs))
        of_edges, of_units, of_magnitude, of_assignment = (one.numpy() for one in (*inputs, *found))
        loss = _kernel()(
            of_edges,
            edges.operator.index[0].numpy().view(numpy.uint64),
            of_units,
            empty_volume(magnitude.dtype),
            fixed_volume,
            of_magnitude,
            of_assignment,
        )
        ctx.edges, ctx.fixed_volume = edges, fixed_volume
        ctx.save_for_backward(magnitude, assignment, *found)
        return magnitude.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients in magnitudes and assignment."""
        if torch.is_grad_enabled():  # That is, with create_graph=True.
            return gradients_with_graph(ctx, grad)
        _, _, of_magnitude, of_assignment = ctx.saved_tensors
        needs_magnitude, needs_assignment = ctx.needs_input_grad[1:3]
        return (
            None,
            of_magnitude * grad if needs_magnitude else None,
            of_assignment * grad if needs_assignment else None,
            None,
        )


@cache
def is_compiled() -> bool:
    """Whether numba compiles the loop."""
    return _numba.is_usable()


@cache
def _kernel() -> Any:
    from pyg_modules.partition.soft_cut.cut_kernel import cut_with_gradients

    return cut_with_gradients
