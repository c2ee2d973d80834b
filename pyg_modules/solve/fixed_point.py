"""Fixed points of maps on the columns of a state, found for every column on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pyg_modules.solve.anderson import Anderson
from pyg_modules.solve.recurrence import column_norm


class ColumnMap(Protocol):
    """A map F on states [n, B] that treats every column alike and on its own."""

    def __call__(self, state: Tensor) -> Tensor:
        """``F(state)``, in a tensor of its own."""

    def select(self, columns: Tensor) -> ColumnMap:
        """F for ``columns`` [b] of the states only."""


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


def find_fixed_point(
    function: ColumnMap,
    initial: Tensor,
    *,
    tol: float,
    max_steps: int,
    memory: int,
    contraction: float = 1.0,
) -> FixedPoint:
    """Iterate ``h <- F(h)`` until the relative residual of a column is within ``tol``.

    With ``memory > 0`` the points are Anderson's. A point whose residual is not smaller than
    ``contraction`` times the one before is replaced by a plain iterate, so that for a contraction
    by that factor two evaluations always shrink the residual as much as one plain step.

    Columns that have converged are frozen, and left out once they are half of all.
    """
    iteration = _Iteration(function, initial, memory, contraction)
    results = _Results(initial)
    for step in range(1, max_steps + 1):
        residual = iteration.evaluate()
        stops = residual <= tol if step < max_steps else torch.ones_like(results.is_open)
        num_open = results.stop(stops, step, iteration.state, residual)
        if num_open == 0:
            break
        if 2 * num_open <= stops.numel():
            iteration.select(results.compact())
        iteration.advance()
    return results.all_columns()


class _Results:
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
        self._num_open = num_columns

    def stop(self, stops: Tensor, step: int, state: Tensor, residual: Tensor) -> int:
        """Freeze the open columns of ``stops``; returns how many stay open."""
        stops = stops & self.is_open
        self.is_open = self.is_open & ~stops
        num_open = int(self.is_open.sum())
        if num_open < self._num_open:
            part = self._part
            self._part = FixedPoint(
                torch.where(stops, state, part.state),
                torch.where(stops, step, part.steps),
                torch.where(stops, residual, part.residual),
            )
        self._num_open = num_open
        return num_open

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


class _Iteration:
    """The present points of all columns, and the way to the next ones."""

    def __init__(
        self, function: ColumnMap, initial: Tensor, memory: int, contraction: float
    ) -> None:
        self._function = function
        self._contraction = contraction
        self._anderson = Anderson(memory, initial) if memory else None
        self.state = initial
        self._previous: _Point | None = None
        self._point: _Point | None = None

    def evaluate(self) -> Tensor:
        """F at the present points; returns the relative residuals, ``[B]``."""
        value = self._function(self.state)
        difference = value - self.state
        norm = column_norm(difference)
        self._point = _Point(value, difference, norm)
        return norm / column_norm(self.state).clamp(min=torch.finfo(norm.dtype).tiny)

    def advance(self) -> None:
        """Go to the next points."""
        point, previous = self._point, self._previous
        assert point is not None
        if self._anderson is None:
            self.state = point.value
            return
        if previous is None:
            self.state, self._previous = point.value, point
            return
        # Negated, so that a residual that is not a number is refused as well.
        is_refused = ~(point.norm <= self._contraction * previous.norm) & previous.is_mixed
        point = point.where(~is_refused, previous)
        self._anderson.push(point.difference - previous.difference, point.value - previous.value)
        mixed = self._anderson.mix(point.difference, point.value)
        point.is_mixed = ~is_refused
        self.state = torch.where(point.is_mixed, mixed, point.value)
        self._previous = point

    def select(self, columns: Tensor) -> None:
        """Go on with ``columns`` only."""
        self._function = self._function.select(columns)
        self.state = self.state.index_select(1, columns)
        for point in (self._point, self._previous):
            if point is not None:
                point.select(columns)
        if self._anderson is not None:
            self._anderson.select(columns)


class _Point:
    """F(h), F(h) - h and its norm for every column, and whether h was mixed."""

    def __init__(self, value: Tensor, difference: Tensor, norm: Tensor) -> None:
        self.value = value
        self.difference = difference
        self.norm = norm
        self.is_mixed = torch.zeros_like(norm, dtype=torch.bool)

    def where(self, mask: Tensor, other: _Point) -> _Point:
        """This point in the columns of ``mask``, ``other`` in the others."""
        if bool(mask.all()):
            return self
        return _Point(
            torch.where(mask, self.value, other.value),
            torch.where(mask, self.difference, other.difference),
            torch.where(mask, self.norm, other.norm),
        )

    def select(self, columns: Tensor) -> None:
        self.value = self.value.index_select(1, columns)
        self.difference = self.difference.index_select(1, columns)
        self.norm = self.norm[columns]
        self.is_mixed = self.is_mixed[columns]
