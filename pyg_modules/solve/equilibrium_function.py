"""A fixed point as one differentiable function, with the gradient of the implicit function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.activation import ACTIVATIONS, Activation
from pyg_modules.ops.edge_sum import refuse_second_derivative, refuse_transformation
from pyg_modules.ops.operator import BACKENDS, EdgeOperator
from pyg_modules.ops.tracing import is_compiling
from pyg_modules.solve.convergence import Stopping, check_convergence
from pyg_modules.solve.fixed_point import find_fixed_point
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.stopped_columns import FixedPoint


def find_equilibrium(recurrence: Recurrence, stopping: Stopping) -> Solution:
    """The states with ``h = F(h)``, [n, B], and how well they fulfil it."""
    operator, activation = recurrence.operator, recurrence.activation
    weight, injected, num_activated = (
        recurrence.weight,
        recurrence.injected,
        recurrence.num_activated,
    )
    if is_compiling():
        states, steps, residual = _equilibrium_op(
            weight,
            injected,
            operator.index,
            operator.sizes,
            operator.name,
            activation.name,
            num_activated,
            *stopping,
        )
        return Solution(states, steps, residual, residual <= stopping.tol)
    refuse_transformation("an Equilibrium")
    problem = _Problem(operator, activation, num_activated, stopping)
    adjoints: list[Solution] = []
    states, steps, residual = _Equilibrium.apply(  # type: ignore[no-untyped-call]
        weight, injected, problem, adjoints
    )
    return Solution(states, steps, residual, residual <= stopping.tol, adjoints)


class _Problem:
    """The fixed point and the linear system of its gradient, without autograd."""

    def __init__(
        self,
        operator: EdgeOperator,
        activation: Activation,
        num_activated: int,
        stopping: Stopping,
    ) -> None:
        self.operator = operator
        self.activation = activation
        self.num_activated = operator.num_activated_rows(num_activated)
        self.stopping = stopping

    def forward(self, weight: Tensor, injected: Tensor) -> FixedPoint:
        """The fixed point."""
        values = self.operator.prepare(weight)
        entered = self.operator.enter(injected)
        out = torch.empty_like(entered)
        initial = self.operator.start(entered, self.activation, self.num_activated, out)
        function = _Update(self, values, entered)
        result = self._find(function, self.operator.leave(initial))
        check_convergence("The states", result.residual, self.stopping)
        return result

    def backward(
        self, weight: Tensor, injected: Tensor, states: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor, FixedPoint]:
        """Gradients of ``weight`` and ``injected``, and the solution of the linear system.

        With D the derivative of the activation at the fixed point, the gradient of the weighted
        sums is the fixed point of ``v <- D (W^T v + grad)``.
        """
        operator = self.operator
        values = operator.prepare(weight)
        entered = operator.enter(states)
        saved = torch.empty_like(entered)
        operator.update(
            values, entered, operator.enter(injected), self.activation, self.num_activated, saved
        )
        transposed = operator.prepare_transposed(weight)
        grad = operator.enter(grad)
        initial = grad.clone()
        self.activation.backward_(initial, saved, self.num_activated)
        result = self._find(_Adjoint(self, transposed, saved, grad), operator.leave(initial))
        check_convergence("The gradients", result.residual, self.stopping)
        gradient = operator.new_gradient(weight)
        operator.accumulate(gradient, operator.enter(result.state), entered)
        return operator.edge_gradient(gradient), result.state, result

    def _find(self, function: _Update | _Adjoint, initial: Tensor) -> FixedPoint:
        tol, max_steps, memory, contraction, _ = self.stopping
        return find_fixed_point(
            function,
            initial,
            tol=tol,
            max_steps=max_steps,
            memory=memory,
            contraction=contraction,
        )


class _Update:
    """``h -> f(W h + injected)``."""

    def __init__(self, problem: _Problem, values: Tensor, injected: Tensor) -> None:
        self._problem, self._values, self._injected = problem, values, injected

    def __call__(self, state: Tensor) -> Tensor:
        problem, injected = self._problem, self._injected
        operator = problem.operator
        following = operator.update(
            self._values,
            operator.enter(state),
            injected,
            problem.activation,
            problem.num_activated,
            torch.empty_like(injected),
        )
        return operator.leave(following)

    def select(self, columns: Tensor) -> _Update:
        return _Update(self._problem, self._values, self._injected.index_select(1, columns))


class _Adjoint:
    """``v -> D (W^T v + grad)``, D from what the last update saved."""

    def __init__(self, problem: _Problem, values: Tensor, saved: Tensor, grad: Tensor) -> None:
        self._problem, self._values, self._saved, self._grad = problem, values, saved, grad

    def __call__(self, state: Tensor) -> Tensor:
        problem, operator = self._problem, self._problem.operator
        out = torch.empty_like(self._grad)
        operator.adjoint(
            self._values,
            operator.enter(state),
            self._saved,
            problem.activation,
            problem.num_activated,
            out,
            add=self._grad,
        )
        return operator.leave(out)

    def select(self, columns: Tensor) -> _Adjoint:
        saved, grad = (part.index_select(1, columns) for part in (self._saved, self._grad))
        return _Adjoint(self._problem, self._values, saved, grad)


class _Equilibrium(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, injected: Tensor, problem: _Problem, adjoints: list[Solution]
    ) -> tuple[Tensor, Tensor, Tensor]:
        result = problem.forward(weight, injected)
        ctx.save_for_backward(weight, injected, result.state)
        ctx.mark_non_differentiable(result.steps, result.residual)
        ctx.problem, ctx.adjoints = problem, adjoints
        return result.state, result.steps, result.residual

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        problem = ctx.problem
        refuse_second_derivative("an Equilibrium")
        grad_weight, grad_injected, result = problem.backward(*ctx.saved_tensors, grad)
        converged = result.residual <= problem.stopping.tol
        ctx.adjoints[:] = [Solution(result.state, result.steps, result.residual, converged)]
        return grad_weight, grad_injected, None, None


# The same as operators of torch.library, for torch.compile and torch.export.


def _problem(
    index: Sequence[Tensor],
    sizes: Sequence[int],
    backend: str,
    activation: str,
    num_activated: int,
    stopping: Stopping,
) -> _Problem:
    operator = BACKENDS[backend](index, sizes)
    return _Problem(operator, ACTIVATIONS[activation], num_activated, stopping)


@torch.library.custom_op("pyg_modules::equilibrium", mutates_args=())
def _equilibrium_op(
    weight: Tensor,
    injected: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
    activation: str,
    num_activated: int,
    tol: float,
    max_steps: int,
    memory: int,
    contraction: float,
    throw: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    stopping = Stopping(tol, max_steps, memory, contraction, throw)
    problem = _problem(index, sizes, backend, activation, num_activated, stopping)
    result = problem.forward(weight, injected)
    return result.state, result.steps, result.residual


@torch.library.custom_op("pyg_modules::equilibrium_backward", mutates_args=())
def _equilibrium_backward_op(
    grad: Tensor,
    weight: Tensor,
    injected: Tensor,
    states: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
    activation: str,
    num_activated: int,
    tol: float,
    max_steps: int,
    memory: int,
    contraction: float,
    throw: bool,
) -> tuple[Tensor, Tensor]:
    stopping = Stopping(tol, max_steps, memory, contraction, throw)
    problem = _problem(index, sizes, backend, activation, num_activated, stopping)
    return problem.backward(weight, injected, states, grad)[:2]


@_equilibrium_op.register_fake
def _(
    weight: Tensor,  # noqa: ARG001
    injected: Tensor,
    *settings: Any,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:
    batch = injected.size(1)
    return (
        injected.new_empty(injected.shape),
        injected.new_empty(batch, dtype=torch.long),
        injected.new_empty(batch),
    )


@_equilibrium_backward_op.register_fake
def _(
    grad: Tensor,  # noqa: ARG001
    weight: Tensor,
    injected: Tensor,
    *settings: Any,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), injected.new_empty(injected.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    weight, injected, index, *ctx.settings = inputs
    states, steps, residual = output
    ctx.mark_non_differentiable(steps, residual)
    ctx.save_for_backward(weight, injected, states, *index)


def _backward_op(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Any, ...]:
    weight, injected, states, *index = ctx.saved_tensors
    gradients = _equilibrium_backward_op(grad, weight, injected, states, index, *ctx.settings)
    return (*gradients, [None] * len(index), *(None for _ in ctx.settings))


_equilibrium_op.register_autograd(_backward_op, setup_context=_setup_context)
