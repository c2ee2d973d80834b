from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from pyg_modules.solve.anderson import Anderson
from pyg_modules.solve.recurrence import column_norm, relative_to


class ColumnMap(Protocol):
    """A map F on states [n, B] that treats every column alike and on its own."""

    def __call__(self, state: Tensor) -> Tensor:
        """``F(state)``, in a tensor of its own."""

    def select(self, columns: Tensor) -> ColumnMap:
        """F for ``columns`` [b] of the states only."""


class Iteration:
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
        return relative_to(norm, self.state)

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
