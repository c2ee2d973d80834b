from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_modules.ops.activation import Activation
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.operator import EdgeOperator


@dataclass(frozen=True)
class Recurrence:
    r"""What a solver iterates: :math:`F(h) = f(W h + c)` for the units that are updated.

    Args:
        operator (EdgeOperator): The edges of :math:`W`.
        weight (Tensor): Their weights, ``[e]``.
        injected (Tensor): :math:`c`, what clamped inputs and biases contribute, ``[n, B]``.
        activation (Activation): :math:`f`.
        num_activated (int): Number of units it acts on; those after them are linear.
    """

    operator: EdgeOperator
    weight: Tensor
    injected: Tensor
    activation: Activation
    num_activated: int

    def bind(self) -> Callable[[Tensor], Tensor]:
        """One synchronous update of states ``[n, B]``, differentiable."""
        weighted_sum = bind(self.operator, self.weight)
        return lambda state: self.activation(
            self.injected + weighted_sum(state), self.num_activated
        )

    @property
    def is_composed(self) -> bool:
        """Whether to iterate :meth:`bind` instead of the kernels of the operator."""
        return self.operator.is_composed()

    def residual(self, state: Tensor) -> Tensor:
        r""":math:`\lVert F(h) - h \rVert / \lVert h \rVert` of every sample, ``[B]``."""
        return relative_to(column_norm(self.bind()(state) - state), state)


def relative_to(norm: Tensor, state: Tensor) -> Tensor:
    """``norm`` [B] over that of ``state`` [n, B], by sample; 0 where both are 0."""
    norm_of_state = column_norm(state)
    tiny = torch.finfo(norm_of_state.dtype).tiny
    return (norm / norm_of_state.clamp(min=tiny)).to(state.dtype)


def column_norm(state: Tensor) -> Tensor:
    """The norm of every column of ``state`` [n, B]; torch's own is four times slower.

    In float32 at least: squares of small or large numbers in half precision are 0 or infinite.
    """
    state = state.to(torch.promote_types(state.dtype, torch.float32))
    return state.square().sum(dim=0).sqrt()
