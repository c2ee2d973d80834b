from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor


class Solver(ABC):
    """Decides when the synchronous updates stop. A solver holds settings only, never state."""

    @abstractmethod
    def solve(self, update: Callable[[Tensor], Tensor], initial: Tensor) -> Tensor:
        """The last state, from ``initial`` [units, B] on, where ``update`` is one update."""
