from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Solution:
    r"""Where a solver stopped, and how well.

    Args:
        states (Tensor): States of the units, differentiable.
        steps (int or Tensor): Number of updates computed, for all samples or for each.
        residual (Tensor, optional): :math:`\lVert F(h) - h \rVert / \lVert h \rVert` of every
            sample; ``None`` if the solver did not look.
        converged (Tensor, optional): Whether the residual of a sample is within the tolerance of
            the solver; ``None`` if it has none.
    """

    states: Tensor
    steps: int | Tensor
    residual: Tensor | None = None
    converged: Tensor | None = None
    # Filled by the backward pass. A list that both share, and not this object itself: that would
    # keep the graph of the states alive in a reference cycle.
    _adjoints: list[Solution] = field(default_factory=list, repr=False, compare=False)

    def reshaped(self, states: Tensor, shape: torch.Size) -> Solution:
        """The same for other ``states``, the rest in ``shape`` instead of [B]."""

        def reshape(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.reshape(shape)

        steps = self.steps if isinstance(self.steps, int) else self.steps.reshape(shape)
        return Solution(
            states, steps, reshape(self.residual), reshape(self.converged), self._adjoints
        )

    @property
    def adjoint(self) -> Solution | None:
        """The same for the linear system of the last backward pass; ``None`` before there was one.

        Its states are the gradients of the weighted sums, ``[n, B]``. Only an equilibrium has one.
        """
        return self._adjoints[-1] if self._adjoints else None
