from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from pyg_modules._checks import as_coefficient, as_int
from pyg_modules.ops.activation import Activation
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.spectral_norm import spectral_norm
from pyg_modules.solve.convergence import Stopping
from pyg_modules.solve.equilibrium_function import find_equilibrium
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver


@dataclass(frozen=True)
class Equilibrium(Solver):
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
        memory (int): Number of earlier updates that Anderson acceleration combines; 0 for plain
            updates. (default: 3)
        contraction (float, optional): Scales the recurrent weights down wherever their spectral
            norm, times the largest slope of the activation, exceeds this number below 1. The fixed
            point then exists, is unique and is reached, however large the weights are. The scaling
            is differentiable. (default: ``None``)
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
        if not isinstance(self.throw, bool):
            raise TypeError(f"Expected throw to be a bool (got {type(self.throw).__name__}).")
        if self.tol == 0:
            raise ValueError("Expected tol > 0 (got 0): rounding keeps every residual above 0.")
        if self.contraction is not None:
            contraction = as_coefficient("contraction", self.contraction)
            if not 0 < contraction < 1:
                raise ValueError(
                    f"Expected contraction between 0 and 1, e.g. 0.95 (got {contraction}): only an"
                    f" update that shrinks distances is sure to converge."
                )
            object.__setattr__(self, "contraction", contraction)

    def scaled(self, operator: EdgeOperator, weight: Tensor, activation: Activation) -> Tensor:
        """See :meth:`Solver.scaled`."""
        if self.contraction is None:
            return weight
        limit = self.contraction / activation.lipschitz
        return weight * (limit / spectral_norm(operator, weight).clamp(min=limit))

    def without_scaling(self) -> Equilibrium:
        """See :meth:`Solver.without_scaling`."""
        return replace(self, contraction=None)

    def solve(self, recurrence: Recurrence) -> Solution:
        """See :meth:`Solver.solve`. The weights are those that :meth:`scaled` returned."""
        shrinks_by = 1.0 if self.contraction is None else self.contraction
        stopping = Stopping(self.tol, self.max_steps, self.memory, shrinks_by, self.throw)
        return find_equilibrium(recurrence, stopping)
