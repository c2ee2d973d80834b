from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pyg_modules.solve.solver import Solver


@dataclass(frozen=True)
class Unrolled(Solver):
    """A fixed number of synchronous updates; gradients by backpropagation through all of them.

    On a layered graph with L hidden levels, ``steps=L`` computes the MLP.

    Args:
        steps (int): Number of updates T, at least 1. (default: 6)

    Raises:
        TypeError: If ``steps`` is not an integer.
        ValueError: If ``steps`` is less than 1.
    """

    steps: int = 6

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int):
            raise TypeError(
                f"Expected steps to be an int (got {type(self.steps).__name__}: {self.steps!r})."
            )
        if self.steps < 1:
            raise ValueError(
                f"Expected steps >= 1 (got {self.steps}). Without an update no unit has a state."
            )

    def solve(self, update: Callable[[Tensor], Tensor], initial: Tensor) -> Tensor:
        """See :meth:`Solver.solve`."""
        state = initial
        for _ in range(self.steps):
            state = update(state)
        return state
