from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyg_modules._checks import as_coefficient, as_int, check_bool
from pyg_modules.ops.activation import ACTIVATIONS
from pyg_modules.ops.differentiable import Differentiable
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.update import Update
from pyg_modules.solve.convergence import Stopping
from pyg_modules.solve.fixed_point import find_fixed_point
from pyg_modules.solve.implicit import solve_implicitly
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver


@dataclass(frozen=True)
class Equilibrium(Solver, name="equilibrium"):
    r"""Updates until the units agree: the fixed point :math:`h^* = F(h^*)`, with exact gradients.

    The updates of a sample stop when :math:`\lVert F(h) - h \rVert \le \text{tol} \lVert h \rVert`.
    Gradients are those of the fixed point, by the implicit function theorem: one linear system with
    the transposed weights, solved in the same way, so that memory does not depend on the number of
    updates. Second derivatives are refused with an error.

    Without ``contraction`` there may be no fixed point, or several, and the updates may not reach
    one: look at ``layer.solve(x)``.

    From `Deep Equilibrium Models <https://arxiv.org/abs/1909.01377>`_ and `Implicit Deep Learning
    <https://arxiv.org/abs/1908.06315>`_.

    Args:
        tol (float): Largest relative residual of a sample that has converged; float32 reaches about
            1e-6. (default: 1e-5)
        max_steps (int): Most updates to compute, for the states and for the gradients each.
            (default: 500)
        memory (int): Number of earlier updates that Anderson acceleration combines, for samples
            that plain updates bring forward slowly; 0 for plain updates alone. (default: 3)
        contraction (float, optional): Scales the recurrent weights down wherever their spectral
            norm, times the largest slope of the activation, exceeds this number below 1. The fixed
            point then exists, is unique and is reached, however large the weights are. The scaling
            is differentiable, to the accuracy of singular vectors of 20 Krylov steps. In a graph
            with edges that leave outputs, whatever their weights, edges into outputs are recurrent,
            too: the first such edge, or a cut of the last one, changes the scaling. (default:
            ``None``)
        throw (bool, optional): Whether a solve that does not converge raises a
            :class:`ConvergenceError`; otherwise there is a :class:`ConvergenceWarning`, once for
            the states and once for the gradients of all solvers with the same settings. (default:
            ``False``)

    Raises:
        TypeError: If a setting is not of its type.
        ValueError: If ``tol`` is not positive, ``max_steps`` less than 1, ``memory`` negative or
            ``contraction`` not between 0 and 1.
    """

    tol: float = 1e-5
    max_steps: int = 500
    memory: int = 3
    contraction: float | None = None
    throw: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tol", as_coefficient("tol", self.tol))
        object.__setattr__(self, "max_steps", as_int("max_steps", self.max_steps, smallest=1))
        object.__setattr__(self, "memory", as_int("memory", self.memory, smallest=0))
        check_bool("throw", self.throw)
        if self.tol == 0:
            raise ValueError(
                "Expected tol > 0 (got 0): rounding keeps every residual above 0."
                " Raise it, e.g. to 1e-5."
            )
        if self.contraction is not None:
            contraction = as_coefficient("contraction", self.contraction)
            if not 0 < contraction < 1:
                raise ValueError(
                    f"Expected contraction between 0 and 1, e.g. 0.95 (got {contraction}): only an"
                    f" update that shrinks distances is sure to converge."
                    " Choose one between, or None for no bound."
                )
            object.__setattr__(self, "contraction", contraction)

    def scaled(self, update: Update, weight: Tensor) -> Tensor:
        """See :meth:`Solver.scaled`."""
        if self.contraction is None:
            return weight
        limit = self.contraction / update.lipschitz
        return weight * (limit / update.norm(weight).clamp(min=limit))

    def without_scaling(self) -> Equilibrium:
        """See :meth:`Solver.without_scaling`."""
        return replace(self, contraction=None)

    def solve(self, recurrence: Recurrence) -> Solution:
        """See :meth:`Solver.solve`. The weights are those that :meth:`scaled` returned."""
        shrinks_by = 1.0 if self.contraction is None else self.contraction
        stopping = Stopping(self.tol, self.max_steps, self.memory, shrinks_by, self.throw)
        # A part of the way to the new states leads to the same fixed point as all of it.
        update = recurrence.update.at_rest()
        if update.transition is not None:
            return solve_implicitly(replace(recurrence, update=update), stopping)
        problem = _Problem(update, stopping, recurrence.observe)
        weight, injected = recurrence.weight, recurrence.injected
        states, steps, residual = problem.entry()(problem, weight, injected)
        return Solution(states, steps, residual, residual <= self.tol, problem.adjoints)


class _Problem(Differentiable):
    """The fixed point as one function; its gradient is the solution of a linear system."""

    name = "equilibrium"
    num_outputs = 3
    saved = slice(0, 1)

    def __init__(
        self,
        update: Update,
        stopping: Stopping,
        observe: Callable[[Tensor], None] | None = None,
    ) -> None:
        super().__init__(update.operator)
        self.f = update.f_on_rows
        #: What the last backward pass found; see :attr:`Solution.adjoint`.
        self.adjoints: list[Solution] = []
        self._update, self._stopping, self._observe = update, stopping, observe

    @property
    def subject(self) -> str:
        return "an Equilibrium"

    def settings(self) -> tuple[str, list[int], list[float]]:
        update = self._update
        return update.activation.name, [update.num_activated], list(map(float, self._stopping))

    @classmethod
    def restored(
        cls, operator: EdgeOperator, name: str, counts: Sequence[int], numbers: Sequence[float]
    ) -> _Problem:
        tol, max_steps, memory, contraction, throw = numbers
        update = Update(operator, ACTIVATIONS[name], counts[0])
        return cls(update, Stopping(tol, int(max_steps), int(memory), contraction, bool(throw)))

    def forward(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The states with ``h = F(h)``, [n, B], and steps and residuals; ``state`` is injected."""
        operator = self.operator
        values, injected = operator.prepare(weight), operator.enter(state)
        initial = operator.start(injected, self.f, torch.empty_like(injected))
        function = _Forward(self, values, injected)
        result = find_fixed_point(
            function, operator.leave(initial), operator, self._stopping, observe=self._observe
        )
        return result.state, result.steps, result.residual

    def backward(
        self,
        needs: Sequence[bool],  # noqa: ARG002
        grad: Tensor,
        weight: Tensor,
        state: Tensor,
        *saved: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Gradients of weights and of what is injected.

        With D the derivative of the activation at the fixed point, the gradient of the weighted
        sums is the fixed point of ``v <- D (W^T v + grad)``.
        """
        operator = self.operator
        grad, states, injected = map(operator.enter, (grad, saved[0], state))
        values = operator.prepare(weight)
        sums = torch.empty_like(states)
        operator.update(values, states, injected, self.f, sums)
        initial = grad.clone()
        self.f.backward_(initial, sums)
        function = _Backward(self, operator.prepare_transposed(weight), sums, grad)
        result = find_fixed_point(
            function, operator.leave(initial), operator, self._stopping, is_adjoint=True
        )
        converged = result.residual <= self._stopping.tol
        self.adjoints[:] = [Solution(result.state, result.steps, result.residual, converged)]
        gradient = operator.new_gradient(weight)
        operator.accumulate(gradient, operator.enter(result.state), states)
        return operator.edge_gradient(gradient).to(weight.dtype), result.state

    def empty_outputs(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        batch = state.size(1)
        steps = state.new_empty(batch, dtype=torch.long)
        return self.operator.new_states(state, *state.shape), steps, state.new_empty(batch)


class _Forward:
    """``h -> f(W h + injected)``."""

    def __init__(self, problem: _Problem, values: Tensor, injected: Tensor) -> None:
        self._problem, self._values, self._injected = problem, values, injected

    def __call__(self, state: Tensor) -> Tensor:
        operator, f, injected = self._problem.operator, self._problem.f, self._injected
        out = torch.empty_like(injected)
        return operator.leave(
            operator.update(self._values, operator.enter(state), injected, f, out)
        )

    def select(self, columns: Tensor) -> _Forward:
        injected = self._problem.operator.select(self._injected, columns)
        return _Forward(self._problem, self._values, injected)


class _Backward:
    """``v -> D (W^T v + grad)``, D from what the last update saved."""

    def __init__(self, problem: _Problem, values: Tensor, saved: Tensor, grad: Tensor) -> None:
        self._problem, self._values, self._saved, self._grad = problem, values, saved, grad

    def __call__(self, state: Tensor) -> Tensor:
        operator, f, grad = self._problem.operator, self._problem.f, self._grad
        out = torch.empty_like(grad)
        operator.adjoint(self._values, operator.enter(state), self._saved, f, out, add=grad)
        return operator.leave(out)

    def select(self, columns: Tensor) -> _Backward:
        select = self._problem.operator.select
        saved, grad = (select(part, columns) for part in (self._saved, self._grad))
        return _Backward(self._problem, self._values, saved, grad)
