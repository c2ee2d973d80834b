from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch.utils.checkpoint import checkpoint

from pyg_modules._checks import as_int
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled_function import unroll


@dataclass(frozen=True)
class Unrolled(Solver):
    r"""A fixed number of synchronous updates; gradients by backpropagation through all of them.

    On a layered graph with L hidden levels, ``steps=L`` computes the MLP.

    Args:
        steps (int): Number of updates T, at least 1. (default: 6)
        checkpoint (bool, optional): Keep the states of about every :math:`\sqrt{T}`-th update
            only, and compute the others again in the backward pass: less memory for a third more
            time. (default: ``False``)

    Raises:
        TypeError: If ``steps`` is not an integer or ``checkpoint`` not a bool.
        ValueError: If ``steps`` is less than 1.
    """

    steps: int = 6
    checkpoint: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", as_int("steps", self.steps, smallest=1))
        if not isinstance(self.checkpoint, bool):
            raise TypeError(
                f"Expected checkpoint to be a bool (got {type(self.checkpoint).__name__})."
            )

    def solve(self, recurrence: Recurrence) -> Solution:
        """See :meth:`Solver.solve`."""
        stride = isqrt(self.steps - 1) + 1 if self.checkpoint else 1
        if not recurrence.is_composed:
            return Solution(unroll(recurrence, self.steps, stride), self.steps)
        update = recurrence.bind()

        def advance(state: torch.Tensor, num_steps: int) -> torch.Tensor:
            for _ in range(num_steps):
                state = update(state)
            return state

        # The first update, of states 0, needs no edges.
        state = recurrence.activation(recurrence.injected, recurrence.num_activated)
        if not self.checkpoint:
            return Solution(advance(state, self.steps - 1), self.steps)
        for done in range(0, self.steps - 1, stride):
            num_steps = min(stride, self.steps - 1 - done)
            state = checkpoint(advance, state, num_steps, use_reentrant=False)
        return Solution(state, self.steps)
