"""All updates of an unrolled solver as one differentiable function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.activation import ACTIVATIONS, Activation
from pyg_modules.ops.edge_sum import refuse_second_derivative, refuse_transformation
from pyg_modules.ops.operator import BACKENDS, EdgeOperator
from pyg_modules.ops.piece import Piece
from pyg_modules.ops.tracing import is_compiling
from pyg_modules.solve.recurrence import Recurrence


def unroll(recurrence: Recurrence, steps: int, stride: int) -> Tensor:
    """The states after ``steps`` updates, [n, B].

    What the backward pass needs is kept for every ``stride``-th update and computed again for those
    between.
    """
    weight, injected = recurrence.weight, recurrence.injected
    operator, activation = recurrence.operator, recurrence.activation
    num_activated = recurrence.num_activated
    if is_compiling():
        compiled: Tensor = _unroll_op(
            weight,
            injected,
            operator.index,
            operator.sizes,
            operator.name,
            activation.name,
            num_activated,
            steps,
            stride,
        )[0]
        return compiled
    refuse_transformation(f"the backend {operator.name!r}")
    updates = _Updates(operator, activation, num_activated, steps)
    if not (torch.is_grad_enabled() and (weight.requires_grad or injected.requires_grad)):
        return updates.forward(weight, injected, stride=0)[0]
    result: Tensor = _Unroll.apply(weight, injected, updates, stride)  # type: ignore[no-untyped-call]
    return result


class _Updates:
    """The loop over the updates, forwards and backwards, without autograd.

    Times count from 0. ``saved`` of a time is what the derivative of that update needs: its states,
    or its weighted sums. The pieces of the operator go through all updates one after the other, so
    that their matrices stay in the caches.
    """

    def __init__(
        self, operator: EdgeOperator, activation: Activation, num_activated: int, steps: int
    ) -> None:
        self.operator = operator
        self.pieces = [
            _PieceUpdates(piece, activation, steps)
            for piece in operator.pieces(operator.num_activated_rows(num_activated))
        ]
        self.steps = steps

    def forward(self, weight: Tensor, injected: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """The last states [n, B], and ``saved`` of every ``stride``-th time; of none for 0."""
        injected, values = self.operator.enter(injected), self.operator.prepare(weight)
        num_kept = -(-self.steps // stride) if stride else 0
        kept = injected.new_empty(num_kept, *injected.shape)
        states = [piece.forward(values, injected, kept, stride) for piece in self.pieces]
        # The last states may be among those that are kept.
        state = torch.cat(states) if len(states) > 1 or num_kept else states[0]
        return self.operator.leave(state), kept

    def backward(
        self, weight: Tensor, injected: Tensor, kept: Tensor, stride: int, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of ``weight`` and ``injected``, from that of the last states."""
        operator = self.operator
        transposed = operator.prepare_transposed(weight)
        gradient = operator.new_gradient(weight)
        values = transposed
        if stride > 1:
            injected, values = operator.enter(injected), operator.prepare(weight)
        total = operator.enter(grad).clone()
        for piece in self.pieces:
            piece.backward(values, transposed, injected, kept, stride, gradient, total)
        return operator.edge_gradient(gradient), operator.leave(total)


class _PieceUpdates:
    """The updates of one piece; arguments are those of all, in the layout of the kernels."""

    def __init__(self, piece: Piece, activation: Activation, steps: int) -> None:
        self.piece, self.activation, self.steps = piece, activation, steps

    def forward(self, values: Tensor, injected: Tensor, kept: Tensor, stride: int) -> Tensor:
        """The last states of the piece; those to keep are written into ``kept``."""
        piece = self.piece
        values, injected = piece.cells(values), piece.rows(injected)
        # Taken apart at once: a view of its own for every update takes longer.
        outs = list(piece.rows(kept, dim=1).unbind())
        num_kept = len(outs)
        if num_kept < self.steps:
            spare = [torch.empty_like(injected) for _ in range(min(2, self.steps - num_kept))]
            outs = [
                outs[time // stride] if stride and time % stride == 0 else spare[time % len(spare)]
                for time in range(self.steps)
            ]
        state = piece.operator.start(injected, self.activation, piece.num_activated, outs[0])
        for out in outs[1:]:
            state = self._update(values, state, injected, out)
        return state

    def backward(
        self,
        values: Tensor,
        transposed: Tensor,
        injected: Tensor,
        kept: Tensor,
        stride: int,
        gradient: Tensor,
        total: Tensor,
    ) -> None:
        """Accumulates ``gradient``; ``total``, that of the last states, becomes that of sums."""
        piece, activation = self.piece, self.activation
        transposed, gradient = piece.cells(transposed), piece.cells(gradient)
        total = piece.rows(total)
        saved = self._saved_backwards(
            piece.cells(values), piece.rows(injected), piece.rows(kept, dim=1), stride
        )
        activation.backward_(total, next(saved), piece.num_activated)
        grad, out = total.clone(), torch.empty_like(total)
        for state in saved:
            piece.operator.adjoint(
                transposed,
                grad,
                state,
                activation,
                piece.num_activated,
                out,
                gradient=gradient,
                total=total,
            )
            grad, out = out, grad

    def _update(self, values: Tensor, state: Tensor, injected: Tensor, out: Tensor) -> Tensor:
        return self.piece.operator.update(
            values, state, injected, self.activation, self.piece.num_activated, out
        )

    def _saved_backwards(
        self, values: Tensor, injected: Tensor, kept: Tensor, stride: int
    ) -> Iterator[Tensor]:
        """``saved`` of all times, the last one first."""
        for position, first in reversed(list(enumerate(kept.unbind()))):
            segment = [first]
            num_later = min(stride, self.steps - position * stride) - 1
            for _ in range(num_later):
                state = segment[-1]
                if self.activation.needs_sums:
                    state = self.activation(state, self.piece.num_activated)
                segment.append(torch.empty_like(state))
                self._update(values, state, injected, segment[-1])
            yield from reversed(segment)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, injected: Tensor, updates: _Updates, stride: int
    ) -> Tensor:
        last, kept = updates.forward(weight, injected, stride)
        ctx.save_for_backward(weight, injected, kept)
        ctx.updates, ctx.stride = updates, stride
        return last

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(f"the backend {ctx.updates.operator.name!r}")
        weight, injected, kept = ctx.saved_tensors
        return (*ctx.updates.backward(weight, injected, kept, ctx.stride, grad), None, None)


# The same as operators of torch.library, for torch.compile and torch.export.


def _updates(
    index: Sequence[Tensor],
    sizes: Sequence[int],
    backend: str,
    activation: str,
    num_activated: int,
    steps: int,
) -> _Updates:
    operator = BACKENDS[backend](index, sizes)
    return _Updates(operator, ACTIVATIONS[activation], num_activated, steps)


@torch.library.custom_op("pyg_modules::unroll", mutates_args=())
def _unroll_op(
    weight: Tensor,
    injected: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
    activation: str,
    num_activated: int,
    steps: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    updates = _updates(index, sizes, backend, activation, num_activated, steps)
    return updates.forward(weight, injected, stride)


@torch.library.custom_op("pyg_modules::unroll_backward", mutates_args=())
def _unroll_backward_op(
    grad: Tensor,
    weight: Tensor,
    injected: Tensor,
    kept: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
    activation: str,
    num_activated: int,
    steps: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    updates = _updates(index, sizes, backend, activation, num_activated, steps)
    return updates.backward(weight, injected, kept, stride, grad)


@_unroll_op.register_fake
def _(
    weight: Tensor,  # noqa: ARG001
    injected: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
    activation: str,  # noqa: ARG001
    num_activated: int,  # noqa: ARG001
    steps: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    num_rows, batch = BACKENDS[backend](index, sizes).num_rows, injected.size(1)
    kept = injected.new_empty(-(-steps // stride), num_rows, batch)
    return injected.new_empty(injected.shape), kept


@_unroll_backward_op.register_fake
def _(
    grad: Tensor,  # noqa: ARG001
    weight: Tensor,
    injected: Tensor,
    kept: Tensor,  # noqa: ARG001
    index: list[Tensor],  # noqa: ARG001
    sizes: list[int],  # noqa: ARG001
    backend: str,  # noqa: ARG001
    activation: str,  # noqa: ARG001
    num_activated: int,  # noqa: ARG001
    steps: int,  # noqa: ARG001
    stride: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), injected.new_empty(injected.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    weight, injected, index, *ctx.settings = inputs
    _, kept = output
    ctx.mark_non_differentiable(kept)
    ctx.save_for_backward(weight, injected, kept, *index)


def _backward_op(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    weight, injected, kept, *index = ctx.saved_tensors
    gradients = _unroll_backward_op(grad, weight, injected, kept, index, *ctx.settings)
    return (*gradients, [None] * len(index), *(None for _ in ctx.settings))


_unroll_op.register_autograd(_backward_op, setup_context=_setup_context)
