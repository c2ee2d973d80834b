"""Fixed points of updates that no kernel computes, with gradients by the implicit function theorem.

What :class:`Equilibrium` does with the kernels of a backend is done here by autograd: one update is
recorded at the fixed point, and its derivative is all that the linear system of the gradients
needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.batched_gradient import for_each_gradient
from pyg_modules.ops.differentiable import refuse_second_derivative, refuse_transformation
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.update import Update
from pyg_modules.solve.convergence import Stopping
from pyg_modules.solve.fixed_point import find_fixed_point
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution

_SUBJECT = "an Equilibrium"


def solve_implicitly(recurrence: Recurrence, stopping: Stopping) -> Solution:
    """The fixed point of an update with a transition, differentiable once."""
    update, weight, injected = recurrence.update, recurrence.weight, recurrence.injected
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "Expected no torch.export of an Equilibrium whose units have several activations,"
            " learned slopes or dropout (got it). Use an Unrolled solver with enough steps."
        )
    refuse_transformation(_SUBJECT)
    if weight.is_meta:  # There are shapes alone.
        return Solution(update.next(injected), torch.empty_like(injected[0], dtype=torch.long))
    solution: Solution = _solve(update, weight, injected, stopping, recurrence.observe)
    return solution


@torch.compiler.disable  # type: ignore[untyped-decorator]  # How often a loop runs depends on the data.
def _solve(
    update: Update,
    weight: Tensor,
    injected: Tensor,
    stopping: Stopping,
    observe: Callable[[Tensor], None] | None,
) -> Solution:
    assert update.transition is not None
    adjoints: list[Solution] = []
    states, steps, residual = _FixedPoint.apply(  # type: ignore[no-untyped-call]
        (update, stopping, observe, adjoints), weight, injected, update.transition.slope
    )
    return Solution(states, steps, residual, residual <= stopping.tol, adjoints)


class _FixedPoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, settings: tuple[Any, ...], weight: Tensor, injected: Tensor, slope: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        update, stopping, observe, _ = settings
        function = _Map.of(update, weight, injected, slope)
        start = function.start()
        result = find_fixed_point(function, start, update.operator, stopping, observe=observe)
        ctx.settings = settings
        ctx.mark_non_differentiable(result.steps, result.residual)
        ctx.save_for_backward(weight, injected, slope, result.state)
        return result.state, result.steps, result.residual

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(_SUBJECT)
        weight, injected, slope, states = ctx.saved_tensors
        return None, *for_each_gradient(
            lambda one: _gradients(ctx.settings, one, states, weight, injected, slope), grad
        )


def _gradients(
    settings: tuple[Any, ...], grad: Tensor, states: Tensor, *parameters: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Those of weights, of what is injected and of slopes: ``v`` times their derivatives of F.

    ``v`` is the fixed point of ``v <- J^T v + grad``, with J the derivative of F by the states.
    """
    update, stopping, _, adjoints = settings
    leaves = [None if one is None else one.detach().requires_grad_() for one in parameters]
    weight, injected, slope = leaves
    assert weight is not None
    assert injected is not None
    with torch.enable_grad():
        function = _Map.of(update, weight, injected, slope)
        value = function(states)
    adjoint = _Adjoint(function, states, grad)
    result = find_fixed_point(adjoint, grad.clone(), update.operator, stopping, is_adjoint=True)
    trained = [weight, injected] if slope is None else [weight, injected, slope]
    found = torch.autograd.grad(value, trained, result.state, materialize_grads=True)
    converged = result.residual <= stopping.tol
    # What is injected is added to the weighted sums: it has their gradients.
    adjoints[:] = [Solution(found[1], result.steps, result.residual, converged)]
    return (*found, None)[: len(parameters)]


@dataclass(frozen=True)
class _Map:
    """``h -> F(h)`` with :attr:`update` for :attr:`injected`."""

    update: Update
    weighted_sum: Callable[[Tensor], Tensor]
    injected: Tensor

    @classmethod
    def of(cls, update: Update, weight: Tensor, injected: Tensor, slope: Tensor | None) -> _Map:
        assert update.transition is not None
        update = update._replace(transition=update.transition._replace(slope=slope))
        return cls(update, bind(update.operator, weight), injected)

    def __call__(self, state: Tensor) -> Tensor:
        return self.update.next(self.injected + self.weighted_sum(state))

    def start(self) -> Tensor:
        """The first update, of states 0, which needs no edges."""
        return self.update.next(self.injected)

    def select(self, columns: Tensor) -> _Map:
        update, transition = self.update, self.update.transition
        assert transition is not None
        if transition.mask is not None:
            mask = transition.mask.index_select(1, columns)
            update = update._replace(transition=transition._replace(mask=mask))
        return replace(self, update=update, injected=self.injected.index_select(1, columns))


class _Adjoint:
    """``v -> J^T v + grad``, J the derivative of a map at ``states``."""

    def __init__(self, function: _Map, states: Tensor, grad: Tensor) -> None:
        self._function, self._grad = function, grad
        with torch.enable_grad():
            self._states = states.detach().requires_grad_()
            self._value = function(self._states)

    def __call__(self, state: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(
            self._value, self._states, state, retain_graph=True, materialize_grads=True
        )
        return product + self._grad

    def select(self, columns: Tensor) -> _Adjoint:
        states, grad = (part.index_select(1, columns) for part in (self._states, self._grad))
        return _Adjoint(self._function.select(columns), states, grad)
