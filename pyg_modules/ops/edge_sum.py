"""One linear application of an operator, differentiable in weights and states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.operator import BACKENDS, EdgeOperator
from pyg_modules.ops.tracing import is_compiling, is_transforming


def bind(operator: EdgeOperator, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The map from states ``[num_sources, B]`` to sums ``[num_targets, B]``, for ``weight`` [e].

    It is differentiable in the states and in ``weight``; twice where the operator is composed of
    torch's own operations.
    """
    composed = operator.compose(weight)
    if composed is not None:
        return composed

    def edge_sum(state: Tensor) -> Tensor:
        if is_compiling():
            compiled: Tensor = _edge_sum_op(
                weight, state, operator.index, operator.sizes, operator.name
            )
            return compiled
        refuse_transformation(f"the backend {operator.name!r}")
        result: Tensor = _EdgeSum.apply(weight, state, operator)  # type: ignore[no-untyped-call]
        return result

    return edge_sum


def _forward(operator: EdgeOperator, weight: Tensor, state: Tensor) -> Tensor:
    out = state.new_empty(operator.num_rows, state.size(1))
    operator.matmul(operator.prepare(weight), operator.enter(state), None, out)
    return operator.leave(out)


def _backward(
    operator: EdgeOperator, grad: Tensor, weight: Tensor, state: Tensor, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    grad = operator.enter(grad)
    grad_weight = grad_state = None
    if needs[0]:
        gradient = operator.new_gradient(weight)
        operator.accumulate(gradient, grad, operator.enter(state))
        grad_weight = operator.edge_gradient(gradient)
    if needs[1]:
        out = grad.new_empty(operator.num_columns, grad.size(1))
        operator.matmul_transposed(operator.prepare_transposed(weight), grad, out)
        grad_state = operator.leave(out)
    return grad_weight, grad_state


def refuse_second_derivative(
    what: str, remedy: str = "Use backend='scatter' and an Unrolled solver."
) -> None:
    """Raise if the backward pass of ``what`` that calls this is itself to be differentiated."""
    if torch.is_grad_enabled():  # That is, with create_graph=True.
        raise RuntimeError(
            f"Expected a first derivative (got create_graph=True): {what} has no second"
            f" derivatives. {remedy}"
        )


def refuse_transformation(what: str) -> None:
    """Raise if ``torch.func`` transforms this call of ``what``."""
    if is_transforming():
        raise RuntimeError(
            f"Expected no transformation of torch.func, such as vmap or jacrev (got one): it cannot"
            f" look into {what}. Use backend='auto', 'dense' or 'scatter' and an Unrolled solver."
        )


class _EdgeSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, state: Tensor, operator: EdgeOperator) -> Tensor:
        ctx.save_for_backward(weight, state)
        ctx.operator = operator
        return _forward(operator, weight, state)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(f"the backend {ctx.operator.name!r}")
        weight, state = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        return (*_backward(ctx.operator, grad, weight, state, needs), None)


# The same two functions as operators of torch.library, for torch.compile and torch.export. Called
# eagerly they would cost some 70 microseconds each, which the autograd function above saves.


@torch.library.custom_op("pyg_modules::edge_sum", mutates_args=())
def _edge_sum_op(
    weight: Tensor, state: Tensor, index: list[Tensor], sizes: list[int], backend: str
) -> Tensor:
    return _forward(BACKENDS[backend](index, sizes), weight, state)


@torch.library.custom_op("pyg_modules::edge_sum_backward", mutates_args=())
def _edge_sum_backward_op(
    grad: Tensor,
    weight: Tensor,
    state: Tensor,
    index: list[Tensor],
    sizes: list[int],
    backend: str,
) -> tuple[Tensor, Tensor]:
    operator = BACKENDS[backend](index, sizes)
    grad_weight, grad_state = _backward(operator, grad, weight, state, (True, True))
    assert grad_weight is not None
    assert grad_state is not None
    return grad_weight, grad_state


@_edge_sum_op.register_fake
def _(
    weight: Tensor,  # noqa: ARG001
    state: Tensor,
    index: list[Tensor],  # noqa: ARG001
    sizes: list[int],
    backend: str,  # noqa: ARG001
) -> Tensor:
    return state.new_empty(sizes[0], state.size(1))


@_edge_sum_backward_op.register_fake
def _(
    grad: Tensor,  # noqa: ARG001
    weight: Tensor,
    state: Tensor,
    index: list[Tensor],  # noqa: ARG001
    sizes: list[int],  # noqa: ARG001
    backend: str,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), state.new_empty(state.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    weight, state, index, sizes, backend = inputs
    ctx.save_for_backward(weight, state, *index)
    ctx.sizes, ctx.backend = sizes, backend


def _backward_op(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    weight, state, *index = ctx.saved_tensors
    gradients = _edge_sum_backward_op(grad, weight, state, index, ctx.sizes, ctx.backend)
    return (*gradients, [None] * len(index), None, None)


_edge_sum_op.register_autograd(_backward_op, setup_context=_setup_context)
