from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pyg_modules._checks import as_int
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
        object.__setattr__(self, "steps", as_int("steps", self.steps, smallest=1))

    def solve(self, update: Callable[[Tensor], Tensor], initial: Tensor) -> Tensor:
        """See :meth:`Solver.solve`."""
        state = initial
        for _ in range(self.steps):
            state = update(state)
        return state
