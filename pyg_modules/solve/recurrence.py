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
                    observe(self.update.operator.residual(following, state))
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
        residual = self.update.operator.residual(following, state)
        if self.observe is not None:
            self.observe(residual)
        return residual
