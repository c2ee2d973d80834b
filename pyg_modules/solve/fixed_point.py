"""Fixed points of maps on the columns of a state, found for every column on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pyg_modules.ops.looks import looks_are_free
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.solve.convergence import Stopping, check_convergence
from pyg_modules.solve.iteration import STRIDE, ColumnMap, Iteration

# Between these, squares of states and of their differences are far from under- and overflow.
_SAFE = 1e-10, 1e10


def find_fixed_point(
    function: ColumnMap,
    initial: Tensor,
    operator: EdgeOperator,
    stopping: Stopping,
    *,
    is_adjoint: bool = False,
    observe: Callable[[Tensor], None] | None = None,
) -> FixedPoint:
    """Iterate ``h <- F(h)`` until the relative residual of a column is within the tolerance.

    With a memory, columns whose residuals shrink slowly go on to Anderson's points. One whose
    residual is not smaller than the contraction times the one before is replaced by a plain
    iterate, so that for a contraction by that factor two evaluations always shrink the residual as
    much as one plain step.

    Columns that have converged are frozen, and left out once they are half of all. ``observe`` is
    told the residuals of all columns at every step, and sees which have not converged; else that is
    an error or a warning.
    """
    tol, max_steps, memory, contraction, _ = stopping
    residual_of = partial(operator.residual, transposed=is_adjoint)
    scale = _scale_of(initial)
    if scale is not None:
        function, initial = _Scaled(function, scale), initial / scale
    iteration = Iteration(function, initial, memory, contraction, residual_of)
    stopped = StoppedColumns(initial)
    always_looks = looks_are_free(initial) or observe is not None
    for step in range(1, max_steps + 1):
        residual = iteration.evaluate()
        stops = residual <= tol if step < max_steps else torch.ones_like(stopped.is_open)
        if observe is not None:
            observe(stopped.residuals(residual))
        stopped.stop(stops, step, iteration.state, residual)
        is_watched = step % STRIDE == 1
        if always_looks or is_watched or step == max_steps:
            num_open = int(stopped.is_open.sum())
            if num_open == 0:
                break
            if 2 * num_open <= stops.numel():
                iteration.select(stopped.compact())
        iteration.advance()
        if is_watched:
            iteration.watch(stopped.is_open)
    found = stopped.all_columns()
    if observe is None:
        check_convergence("The gradients" if is_adjoint else "The states", found.residual, stopping)
    return found if scale is None else replace(found, state=found.state * scale)


def _scale_of(initial: Tensor) -> Tensor | None:
    """By what every column is divided, powers of 2, ``[B]``; ``None`` where none needs it."""
    if initial.numel() == 0:
        return None
    largest = initial.abs().amax(dim=0).to(torch.promote_types(initial.dtype, torch.float32))
    is_safe = (largest == 0) | ((largest >= _SAFE[0]) & (largest <= _SAFE[1]))
    if bool(is_safe.all()):
        return None
    exponent = torch.where(largest.isfinite(), largest, 1.0).frexp().exponent
    return torch.ldexp(torch.ones_like(largest), exponent).to(initial.dtype)


class _Scaled:
    """A map on columns that are divided by a scale."""

    def __init__(self, function: ColumnMap, scale: Tensor) -> None:
        self._function, self._scale = function, scale

    def __call__(self, state: Tensor) -> Tensor:
        return self._function(state * self._scale) / self._scale

    def select(self, columns: Tensor) -> _Scaled:
        return _Scaled(self._function.select(columns), self._scale[columns])


@dataclass(frozen=True)
class FixedPoint:
    """Where the iteration of every column stopped.

    Args:
        state (Tensor): ``[n, B]``.
        steps (Tensor): Number of evaluations of F, ``[B]``.
        residual (Tensor): ||F(h) - h|| / ||h|| at ``state``, ``[B]``.
    """

    state: Tensor
    steps: Tensor
    residual: Tensor


class StoppedColumns:
    """Where columns stopped; those that are still open, and some that are not, go on."""

    def __init__(self, initial: Tensor) -> None:
        num_columns, device = initial.size(1), initial.device
        self._whole: FixedPoint | None = None
        self._columns = torch.arange(num_columns, device=device)
        self._part = FixedPoint(
            initial,
            torch.zeros(num_columns, dtype=torch.long, device=device),
            torch.zeros(num_columns, dtype=initial.dtype, device=device),
        )
        self.is_open = torch.ones(num_columns, dtype=torch.bool, device=device)

    def stop(self, stops: Tensor, step: int, state: Tensor, residual: Tensor) -> None:
        """Freeze the open columns of ``stops``."""
        stops = stops & self.is_open
        if looks_are_free(stops) and not bool(stops.any()):
            return
        self.is_open = self.is_open & ~stops
        part = self._part
        self._part = FixedPoint(
            torch.where(stops, state, part.state),
            torch.where(stops, step, part.steps),
            torch.where(stops, residual, part.residual),
        )

    def residuals(self, residual: Tensor) -> Tensor:
        """Of all columns: ``residual`` of those that are open, and where the others stopped."""
        part = torch.where(self.is_open, residual, self._part.residual)
        if self._whole is None:
            return part
        return self._whole.residual.index_copy(0, self._columns, part)

    def compact(self) -> Tensor:
        """Leave the columns out that have stopped; returns the positions of those that go on."""
        part, kept = self._part, self.is_open.nonzero().view(-1)
        self._write()
        self._columns = self._columns[kept]
        self.is_open = self.is_open[kept]
        self._part = FixedPoint(
            part.state.index_select(1, kept), part.steps[kept], part.residual[kept]
        )
        return kept

    def all_columns(self) -> FixedPoint:
        """The result, when no column is open."""
        if self._whole is None:
            return self._part
        self._write()
        return self._whole

    def _write(self) -> None:
        if self._whole is None:  # The first time, these are all columns.
            self._whole = self._part
            return
        self._whole.state.index_copy_(1, self._columns, self._part.state)
        self._whole.steps.index_copy_(0, self._columns, self._part.steps)
        self._whole.residual.index_copy_(0, self._columns, self._part.residual)
