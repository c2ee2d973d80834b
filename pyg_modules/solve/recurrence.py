from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_modules.ops.update import Update


@dataclass(frozen=True)
class Recurrence:
    r"""What a solver iterates: :math:`F(h) = f(W h + c)` for the units that are updated.

    Args:
        update (Update): The edges of :math:`W`, and :math:`f`.
        weight (Tensor): The weights of the edges, ``[e]``.
        injected (Tensor): :math:`c`, what clamped inputs and biases contribute, ``[n, B]``.
        observe (Callable, optional): Told the relative residuals ``[B]`` of the states after every
            update; see :meth:`SynchronousGraph.solve`. (default: none)
    """

    update: Update
    weight: Tensor
    injected: Tensor
    observe: Callable[[Tensor], None] | None = None

    def bind(self) -> Callable[[Tensor], Tensor]:
        """One synchronous update of states ``[n, B]``, differentiable."""
        update, observe = self.update.bind(self.weight, self.injected), self.observe
        if observe is None:
            return update
        is_first = True

        def observed(state: Tensor) -> Tensor:
            nonlocal is_first
            following = update(state)
            # States of 0, where updates begin, have no residual relative to them.
            if not is_first or bool(state.any()):
                with torch.no_grad():
                    observe(relative_residual(following - state, state))
            is_first = False
            return following

        return observed

    @property
    def is_composed(self) -> bool:
        """Whether to iterate :meth:`bind` instead of the kernels of the operator."""
        update = self.update
        is_more = self.observe is not None or update.transition is not None
        return is_more or update.operator.is_composed()

    def residual(self, state: Tensor) -> Tensor:
        r""":math:`\lVert F(h) - h \rVert / \lVert h \rVert` of every sample, ``[B]``."""
        following = self.update.bind(self.weight, self.injected)(state)
        residual = relative_residual(following - state, state)
        if self.observe is not None:
            self.observe(residual)
        return residual


def relative_residual(difference: Tensor, state: Tensor) -> Tensor:
    """The norm of ``difference`` [n, B] over that of ``state``, by sample; 0 where both are 0."""
    return relative_to(column_norm(difference), state)


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
