from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from pyg_modules.ops.activation import Activation
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution


class Solver(ABC):
    """Decides when the synchronous updates stop. A solver holds settings only, never state."""

    def scaled(
        self,
        operator: EdgeOperator,  # noqa: ARG002
        weight: Tensor,
        activation: Activation,  # noqa: ARG002
    ) -> Tensor:
        """The recurrent weights ``[e]`` as this solver wants them; as they are by default."""
        return weight

    def without_scaling(self) -> Solver:
        """This solver for weights that are scaled already."""
        return self

    @abstractmethod
    def solve(self, recurrence: Recurrence) -> Solution:
        """The last states, ``[n, B]``, from states of 0 on, differentiable.

        A solver of your own calls ``update = recurrence.bind()`` and then ``update(state)`` as
        often as it likes, from ``torch.zeros_like(recurrence.injected)`` on.
        """
