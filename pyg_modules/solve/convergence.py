"""What happens when an equilibrium is not reached."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from torch import Tensor


class ConvergenceError(RuntimeError):
    """An equilibrium was not reached within ``max_steps``."""


class ConvergenceWarning(UserWarning):
    """An equilibrium was not reached within ``max_steps``."""


class Stopping(NamedTuple):
    """When to stop, and how to go on to there; see :class:`Equilibrium`."""

    tol: float
    max_steps: int
    memory: int
    contraction: float
    throw: bool


_warned: set[tuple[str, Stopping]] = set()


def check_convergence(what: str, residual: Tensor, stopping: Stopping) -> None:
    """Raise or warn, as ``stopping.throw`` says, if a residual is not within the tolerance."""
    is_open = ~(residual <= stopping.tol)  # True for a residual that is not a number.
    num_open = int(is_open.sum())
    if not num_open or ((what, stopping) in _warned and not stopping.throw):
        return
    message = (
        f"{what} of {num_open} of {residual.numel()} samples did not converge: expected a relative"
        f" residual within tol={stopping.tol:g} after max_steps={stopping.max_steps} updates (got"
        f" {float(residual[is_open].max()):.2g}). {_remedy(residual, stopping)}"
    )
    if stopping.throw:
        raise ConvergenceError(message)
    _warned.add((what, stopping))
    warnings.warn(
        f"{message} This is said once; layer.solve(x).residual has the residuals.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _remedy(residual: Tensor, stopping: Stopping) -> str:
    is_bounded = stopping.contraction < 1
    if bool(residual.isnan().any()) or (is_bounded and not bool(residual.isfinite().all())):
        return "Look for inputs or weights that are NaN, infinite or very large."
    if is_bounded:
        return "Raise max_steps or tol, or lower contraction."
    return (
        "Bound the recurrent weights with Equilibrium(contraction=0.95), or raise max_steps or tol."
    )
