"""From the present points of an iteration to the next ones, for every column on its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from pyg_modules.ops.looks import looks_are_free
from pyg_modules.ops.residual import column_norm


class ColumnMap(Protocol):
    """A map F on states [n, B] that treats every column alike and on its own."""

    def __call__(self, state: Tensor) -> Tensor:
        """``F(state)``, in a tensor of its own."""

    def select(self, columns: Tensor) -> ColumnMap:
        """F for ``columns`` [b] of the states only."""


#: From ``F(h)`` and ``h``, ``[n, B]``, to the relative residuals, ``[B]``.
Residual = Callable[[Tensor, Tensor], Tensor]

#: Number of steps from one look at how columns do to the next, on every device.
STRIDE = 5
# What a plain step leaves, at least, of a residual that shrinks slowly. Where little more is left,
# Anderson's steps, each of which takes as long as two to four plain ones, do not pay.
_SLOW = 0.8


class Iteration:
    """The present points of all columns, and the way to the next ones.

    It is plain for a column until :meth:`watch` finds it slow, and Anderson's from then on.
    """

    def __init__(
        self,
        function: ColumnMap,
        initial: Tensor,
        memory: int,
        contraction: float,
        residual: Residual,
    ) -> None:
        self._function, self._residual = function, residual
        self._memory, self._contraction = memory, contraction
        self._anderson: Anderson | None = None
        self.state = initial
        self._previous: _Point | None = None
        self._point: _Point | None = None
        self._is_slow = initial.new_zeros(initial.size(1), dtype=torch.bool)
        self._watched: Tensor | None = None

    def evaluate(self) -> Tensor:
        """F at the present points; returns the relative residuals, ``[B]``."""
        value = self._function(self.state)
        self._point = _Point(value, self.state)
        return self._residual(value, self.state)

    def advance(self) -> None:
        """Go to the next points."""
        point, previous = self._point, self._previous
        assert point is not None
        if self._anderson is None:
            self.state = point.value
            return
        assert previous is not None
        # Negated, so that a residual that is not a number is refused as well.
        is_refused = ~(point.norm <= self._contraction * previous.norm) & previous.is_mixed
        point = point.where(~is_refused, previous)
        self._anderson.push(point.difference - previous.difference, point.value - previous.value)
        mixed = self._anderson.mix(point.difference, point.value)
        point.is_mixed = ~is_refused & self._is_slow
        self.state = torch.where(point.is_mixed, mixed, point.value)
        self._previous = point

    def watch(self, is_open: Tensor) -> None:
        """Accelerate those of the columns ``is_open`` that were slow since the last call.

        Every column is judged on its own, so that its points do not depend on the others.
        """
        assert self._point is not None
        norm, before = self._point.norm, self._watched
        self._watched = norm
        if before is None or not self._memory:
            return
        begins = is_open & ~self._is_slow & (norm > _SLOW**STRIDE * before)
        if not bool(begins.any()):
            return
        self._is_slow = self._is_slow | begins
        if self._anderson is None:
            self._anderson, self._previous = Anderson(self._memory, self.state), self._point
        else:
            self._anderson.forget(begins)

    def select(self, columns: Tensor) -> None:
        """Go on with ``columns`` only."""
        self._function = self._function.select(columns)
        self.state = self.state.index_select(1, columns)
        self._is_slow = self._is_slow[columns]
        if self._watched is not None:
            self._watched = self._watched[columns]
        for point in (self._point, self._previous):
            if point is not None:
                point.select(columns)
        if self._anderson is not None:
            self._anderson.select(columns)


class _Point:
    """F(h), and h, for every column, and whether h was mixed."""

    def __init__(self, value: Tensor, state: Tensor) -> None:
        self.value = value
        self.is_mixed = state.new_zeros(state.size(1), dtype=torch.bool)
        self._state = state

    # Most points of a plain iteration need neither of these.

    @cached_property
    def difference(self) -> Tensor:
        """F(h) - h."""
        return self.value - self._state

    @cached_property
    def norm(self) -> Tensor:
        """That of the difference."""
        return column_norm(self.difference)

    def where(self, mask: Tensor, other: _Point) -> _Point:
        """This point in the columns of ``mask``, ``other`` in the others."""
        if looks_are_free(mask) and bool(mask.all()):
            return self
        return _Point(
            torch.where(mask, self.value, other.value),
            torch.where(mask, self._state, other._state),
        )

    def select(self, columns: Tensor) -> None:
        self.value = self.value.index_select(1, columns)
        self._state = self._state.index_select(1, columns)
        self.__dict__.pop("difference", None)
        if "norm" in self.__dict__:
            self.norm = self.norm[columns]
        self.is_mixed = self.is_mixed[columns]


class Anderson:
    r"""Anderson acceleration of :math:`h \leftarrow F(h)`, for every column on its own.

    With :math:`g_k = F(h_k)` and :math:`f_k = g_k - h_k`, the next point is
    :math:`g_k - \sum_i \gamma_i \Delta g_i`, where :math:`\gamma` minimises
    :math:`\lVert f_k - \sum_i \gamma_i \Delta f_i \rVert` over the last differences.

    From `Iterative Procedures for Nonlinear Integral Equations
    <https://doi.org/10.1145/321296.321305>`_, in the form of `Anderson Acceleration for
    Fixed-Point Iterations <https://doi.org/10.1137/10078356X>`_.

    Args:
        memory (int): Number of differences to keep, at least 1.
        like (Tensor): A state ``[n, B]``.
    """

    def __init__(self, memory: int, like: Tensor) -> None:
        # Apart, so that they are laid out as states are.
        self._residuals = [torch.zeros_like(like) for _ in range(memory)]
        self._values = [torch.zeros_like(like) for _ in range(memory)]
        # LAPACK knows no half precision.
        wide = torch.promote_types(like.dtype, torch.float32)
        self._gram = like.new_zeros(like.size(1), memory, memory, dtype=wide)
        self._memory = memory
        self._count = 0

    def push(self, residual_change: Tensor, value_change: Tensor) -> None:
        """Remember one difference of f and of g, ``[n, B]`` each, and forget the oldest."""
        slot = self._count % self._memory
        self._residuals[slot], self._values[slot] = residual_change, value_change
        self._count += 1
        products = self._products(residual_change)
        self._gram[:, slot, : products.size(1)] = products
        self._gram[:, : products.size(1), slot] = products

    def mix(self, residual: Tensor, value: Tensor) -> Tensor:
        """The next point from the present f and g, ``[n, B]``."""
        used = min(self._count, self._memory)
        gram, target = self._gram[:, :used, :used], self._products(residual).to(self._gram.dtype)
        # The differences become parallel near the solution; a relative ridge keeps them apart.
        scale = gram.diagonal(dim1=1, dim2=2).amax(dim=1).view(-1, 1, 1)
        info = torch.finfo(gram.dtype)
        ridge = (scale * (10 * info.eps) + info.tiny) * torch.eye(
            used, dtype=gram.dtype, device=gram.device
        )
        weights = torch.linalg.solve_ex(gram + ridge, target.unsqueeze(-1))[0]
        mixed = value.clone()
        for slot, column in enumerate(weights.squeeze(-1).T.to(value.dtype)):
            mixed.addcmul_(self._values[slot], column, value=-1)
        return mixed

    def forget(self, columns: Tensor) -> None:
        """Begin anew for the columns of a mask ``[B]``: differences of 0 have no weight."""
        for kept in (*self._residuals, *self._values):
            kept.masked_fill_(columns, 0)
        self._gram.masked_fill_(columns.view(-1, 1, 1), 0)

    def select(self, columns: Tensor) -> None:
        """Go on with ``columns`` of the states only."""
        self._residuals = [kept.index_select(1, columns) for kept in self._residuals]
        self._values = [kept.index_select(1, columns) for kept in self._values]
        self._gram = self._gram.index_select(0, columns)

    def _products(self, residual: Tensor) -> Tensor:
        """Inner products with the remembered differences of f, ``[B, used]``."""
        used = min(self._count, self._memory)
        return torch.stack([(kept * residual).sum(dim=0) for kept in self._residuals[:used]], dim=1)
