from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pyg_modules.ops.activation import Activation, RowActivation
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.operator import EdgeOperator


@dataclass(frozen=True)
class Update:
    r"""One synchronous update, :math:`F(h) = f(W h + c)`, but for its numbers.

    Args:
        operator (EdgeOperator): The edges of :math:`W`.
        activation (Activation): :math:`f`.
        num_activated (int): Number of units it acts on; those after them are linear.
    """

    operator: EdgeOperator
    activation: Activation
    num_activated: int

    @property
    def f(self) -> RowActivation:
        """The activation of the units."""
        return RowActivation(self.activation, self.num_activated)

    @property
    def f_on_rows(self) -> RowActivation:
        """The activation in the layout of the kernels of the operator."""
        return self.operator.on_rows(self.f)

    def bind(self, weight: Tensor, injected: Tensor) -> Callable[[Tensor], Tensor]:
        """The map from states ``[n, B]`` to the next ones, differentiable.

        Args:
            weight (Tensor): Weights of the edges, ``[e]``.
            injected (Tensor): :math:`c`, ``[n, B]``.
        """
        f, weighted_sum = self.f, bind(self.operator, weight)
        return lambda state: f(injected + weighted_sum(state))
