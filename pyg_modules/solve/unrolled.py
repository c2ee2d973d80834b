from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_modules._checks import as_int, check_bool
from pyg_modules.ops.activation import ACTIVATIONS, RowActivation
from pyg_modules.ops.differentiable import Differentiable, needs_gradient
from pyg_modules.ops.operator import EdgeOperator, Piece
from pyg_modules.ops.tracing import is_transforming
from pyg_modules.ops.update import Update
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver


@dataclass(frozen=True)
class Unrolled(Solver, name="unrolled"):
    r"""A fixed number of synchronous updates; gradients by backpropagation through all of them.

    On a layered graph with L hidden levels, ``steps=L`` computes the MLP.

    Args:
        steps (int): Number of updates T, at least 1. (default: 6)
        checkpoint (bool, optional): Keep the states of about every :math:`\sqrt{T}`-th update
            only, and compute the others again in the backward pass: less memory for a third more
            time. All are kept under a transformation of ``torch.func``, where torch cannot compute
            again. (default: ``False``)

    Raises:
        TypeError: If ``steps`` is not an integer or ``checkpoint`` not a bool.
        ValueError: If ``steps`` is less than 1.
    """

    steps: int = 6
    checkpoint: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", as_int("steps", self.steps, smallest=1))
        check_bool("checkpoint", self.checkpoint)

    @property
    def num_updates(self) -> int:
        """The steps."""
        return self.steps

    def solve(self, recurrence: Recurrence) -> Solution:
        """See :meth:`Solver.solve`."""
        stride = isqrt(self.steps - 1) + 1 if self.checkpoint else 1
        if recurrence.is_composed:
            return Solution(self._composed(recurrence, stride), self.steps)
        weight, injected = recurrence.weight, recurrence.injected
        with_gradient = needs_gradient(weight, injected)
        updates = _Updates(recurrence.update, self.steps, stride if with_gradient else 0)
        states = updates.entry(with_gradient=with_gradient)(updates, weight, injected)[0]
        return Solution(states, self.steps)

    def _composed(self, recurrence: Recurrence, stride: int) -> Tensor:
        """The last states by torch's own operations."""
        update = recurrence.bind()

        def advance(state: Tensor, num_steps: int) -> Tensor:
            for _ in range(num_steps):
                state = update(state)
            return state

        injected = recurrence.injected
        if recurrence.observe is not None:
            return advance(torch.zeros_like(injected), self.steps)
        # The first update, of states 0, needs no edges.
        state = recurrence.update.next(injected)
        if not self.checkpoint or is_transforming():
            return advance(state, self.steps - 1)
        for done in range(0, self.steps - 1, stride):
            num_steps = min(stride, self.steps - 1 - done)
            state = checkpoint(advance, state, num_steps, use_reentrant=False)
        return state


class _Updates(Differentiable):
    """All updates as one function: the last states, and what the backward pass needs.

    Times count from 0. What the derivative of an update needs is kept for every ``stride``-th time
    and computed again for those between; for none where ``stride`` is 0. The pieces of the operator
    go through all updates one after the other, so that their matrices stay in the caches.
    """

    name = "unroll"
    num_outputs = 2
    saved = slice(1, 2)

    def __init__(self, update: Update, steps: int, stride: int) -> None:
        super().__init__(update.operator)
        self._update = update
        self._pieces = update.operator.pieces(update.f_on_rows)
        self._steps, self._stride = steps, stride
        self._num_kept = -(-steps // stride) if stride else 0

    def settings(self) -> tuple[str, list[int], list[float]]:
        counts = [self._update.num_activated, self._steps, self._stride]
        return self._update.activation.name, counts, [0.0]

    @classmethod
    def restored(
        cls,
        operator: EdgeOperator,
        name: str,
        counts: Sequence[int],
        numbers: Sequence[float],  # noqa: ARG003
    ) -> _Updates:
        num_activated, steps, stride = counts
        return cls(Update(operator, ACTIVATIONS[name], num_activated), steps, stride)

    def forward(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The last states [n, B], and what is kept; ``state`` is what is injected."""
        operator = self.operator
        values, injected = operator.prepare(weight), operator.enter(state)
        kept = operator.new_states(injected, self._num_kept, *injected.shape)
        last = []
        for piece in self._pieces:
            around = piece.cells(values), piece.rows(injected), piece.f, piece.rows(kept, dim=1)
            at_once = piece.operator.unroll(*around, self._steps, self._stride)
            last.append(self._one_by_one(piece, *around) if at_once is None else at_once)
        # The last states may be among those that are kept.
        state = torch.cat(last) if len(last) > 1 else last[0]
        if self._num_kept and len(last) == 1:
            state = state.clone()
        return operator.leave(state), kept

    def backward(
        self,
        needs: Sequence[bool],  # noqa: ARG002
        grad: Tensor,
        weight: Tensor,
        state: Tensor,
        *saved: Tensor,
    ) -> tuple[Tensor, Tensor]:
        operator = self.operator
        transposed = operator.prepare_transposed(weight)
        gradient = operator.new_gradient(weight)
        total = operator.enter(grad).clone()
        # What no update is computed again from is not read.
        values, injected = transposed, total
        if self._stride > 1:
            values, injected = operator.prepare(weight), operator.enter(state)
        for piece in self._pieces:
            kept, cells = piece.rows(saved[0], dim=1), piece.cells(transposed)
            sums = piece.cells(gradient), piece.rows(total)
            if self._stride == 1 and piece.operator.unroll_backward(cells, kept, piece.f, *sums):
                continue
            states = self._backwards(piece, piece.cells(values), piece.rows(injected), kept)
            self._backward_of(piece, states, cells, *sums)
        return operator.edge_gradient(gradient).to(weight.dtype), operator.leave(total)

    def empty_outputs(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        new_states, batch = self.operator.new_states, state.size(1)
        kept = new_states(state, self._num_kept, self.operator.num_rows, batch)
        return new_states(state, *state.shape), kept

    def _one_by_one(
        self, piece: Piece, values: Tensor, injected: Tensor, f: RowActivation, kept: Tensor
    ) -> Tensor:
        """The last states of the piece."""
        outs = self._outs(injected, kept)
        state = piece.operator.start(injected, f, outs[0])
        update = piece.operator.update
        for out in outs[1:]:
            state = update(values, state, injected, f, out)
        return state

    def _outs(self, injected: Tensor, kept: Tensor) -> list[Tensor]:
        """Where every update of a piece writes: those that are kept, or two in turn."""
        # Taken apart at once: a view of its own for every update takes longer.
        outs = list(kept.unbind())
        num_kept, stride = len(outs), self._stride
        if num_kept == self._steps:
            return outs
        spare = [torch.empty_like(injected) for _ in range(min(2, self._steps - num_kept))]
        return [
            outs[time // stride] if stride and time % stride == 0 else spare[time % len(spare)]
            for time in range(self._steps)
        ]

    def _backwards(
        self, piece: Piece, values: Tensor, injected: Tensor, kept: Tensor
    ) -> Iterator[Tensor]:
        """What the derivatives of the updates of a piece need, the last one first."""
        needs_sums = piece.f.activation.needs_sums
        for position, first in reversed(list(enumerate(kept.unbind()))):
            segment = [first]
            num_later = min(self._stride, self._steps - position * self._stride) - 1
            for _ in range(num_later):
                state = piece.f(segment[-1]) if needs_sums else segment[-1]
                segment.append(torch.empty_like(state))
                piece.operator.update(values, state, injected, piece.f, segment[-1])
            yield from reversed(segment)

    @staticmethod
    def _backward_of(
        piece: Piece, saved: Iterator[Tensor], transposed: Tensor, gradient: Tensor, total: Tensor
    ) -> None:
        """Accumulates ``gradient``; ``total``, that of the last states, becomes that of sums."""
        piece.f.backward_(total, next(saved))
        grad, out = total.clone(), torch.empty_like(total)
        for state in saved:
            piece.operator.adjoint(
                transposed, grad, state, piece.f, out, gradient=gradient, total=total
            )
            grad, out = out, grad
