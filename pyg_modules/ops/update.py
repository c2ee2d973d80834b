from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from pyg_modules.ops.activation import Activation, RowActivation
from pyg_modules.ops.differentiable import refuse_transformation
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.operator import EdgeOperator


class Update(NamedTuple):
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
    def lipschitz(self) -> float:
        """The largest slope of ``f``; that of units without an activation is 1."""
        if self.num_activated == self.operator.num_targets:
            return self.activation.lipschitz
        return max(1.0, self.activation.lipschitz)

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
        f, operator, weighted_sum = self.f, self.operator, bind(self.operator, weight)

        def update(state: Tensor) -> Tensor:
            if not operator.is_composable:
                refuse_transformation(f"the backend {operator.name!r}")
            return f(injected + weighted_sum(state))

        return update
