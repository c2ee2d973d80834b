from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.ops.activation import Activation, RowActivation
from pyg_modules.ops.differentiable import refuse_transformation
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.spectral_norm import spectral_norm
from pyg_modules.ops.transition import Transition


class Update(NamedTuple):
    r"""One synchronous update, :math:`F(h) = f(W h + c)`, but for its numbers.

    Args:
        operator (EdgeOperator): The edges of :math:`W`.
        activation (Activation): :math:`f`.
        num_activated (int): Number of units it acts on; those after them are linear.
        transition (Transition, optional): What these units do instead of :math:`f`. (default: none)
        gain (float, optional): The largest factor of a mask that may come with it. (default: 1)
    """

    operator: EdgeOperator
    activation: Activation
    num_activated: int
    transition: Transition | None = None
    gain: float = 1.0

    @property
    def f(self) -> RowActivation:
        """The activation of the units."""
        return RowActivation(self.activation, self.num_activated)

    @property
    def lipschitz(self) -> float | Tensor:
        """The largest slope of ``f``; that of units without an activation is 1."""
        of_units = self.activation if self.transition is None else self.transition
        slope = of_units.lipschitz * self.gain
        if self.num_activated == self.operator.num_targets:
            return slope
        return slope.clamp(min=1) if isinstance(slope, Tensor) else max(1.0, slope)

    def norm(self, weight: Tensor) -> Tensor:
        """A bound of the spectral norm of :math:`W`, differentiable in ``weight``."""
        return torch.stack([spectral_norm(*term) for term in self.operator.terms(weight)]).sum()

    @property
    def f_on_rows(self) -> RowActivation:
        """The activation in the layout of the kernels of the operator."""
        return self.operator.on_rows(self.f)

    def next(self, sums: Tensor, state: Tensor | None = None) -> Tensor:
        """The states after the weighted ``sums`` ``[n, B]``, from ``state``; ``None`` is 0."""
        transition, num_activated = self.transition, self.num_activated
        if transition is None:
            return self.f(sums)
        if num_activated == sums.size(0):
            return transition(sums, state)
        activated = transition(
            sums[:num_activated], None if state is None else state[:num_activated]
        )
        return torch.cat([activated, sums[num_activated:]])

    def to(self, dtype: torch.dtype) -> Update:
        """The update of states of ``dtype``."""
        transition = None if self.transition is None else self.transition.to(dtype)
        return self._replace(transition=transition)

    def at_rest(self) -> Update:
        """The update with the same fixed points that goes to the new states at once."""
        transition = self.transition
        if transition is None:
            return self
        transition = transition._replace(rate=None)
        return self._replace(transition=None if transition.is_function else transition)

    def bind(self, weight: Tensor, injected: Tensor) -> Callable[[Tensor], Tensor]:
        """The map from states ``[n, B]`` to the next ones, differentiable.

        Args:
            weight (Tensor): Weights of the edges, ``[e]``.
            injected (Tensor): :math:`c`, ``[n, B]``.
        """
        following, operator, weighted_sum = self.next, self.operator, bind(self.operator, weight)

        def update(state: Tensor) -> Tensor:
            if not operator.is_composable:
                refuse_transformation(f"the backend {operator.name!r}")
            return following(injected + weighted_sum(state), state)

        return update
