"""One linear application of an operator, differentiable in weights and states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from pyg_modules.ops.differentiable import Differentiable
from pyg_modules.ops.operator import EdgeOperator


def bind(operator: EdgeOperator, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The map from states ``[num_sources, B]`` to sums ``[num_targets, B]``, for ``weight`` [e].

    It is differentiable in the states and in ``weight``; twice where the operator is composed of
    torch's own operations.
    """
    composed = operator.compose(weight)
    if composed is not None:
        return composed
    edge_sum = _EdgeSum(operator)
    return partial(edge_sum.entry(), edge_sum, weight)


class _EdgeSum(Differentiable):
    name = "edge_sum"

    def forward(self, weight: Tensor, state: Tensor) -> Tensor:
        operator = self.operator
        out = operator.new_states(state, operator.num_rows, state.size(1))
        operator.matmul(operator.prepare(weight), operator.enter(state), out)
        return operator.leave(out)

    def backward(
        self, needs: Sequence[bool], grad: Tensor, weight: Tensor, state: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        operator, grad_weight, grad_state = self.operator, None, None
        grad = operator.enter(grad)
        if needs[0]:
            gradient = operator.new_gradient(weight)
            operator.accumulate(gradient, grad, operator.enter(state))
            grad_weight = operator.edge_gradient(gradient).to(weight.dtype)
        if needs[1]:
            out = operator.new_states(grad, operator.num_columns, grad.size(1))
            operator.matmul_transposed(operator.prepare_transposed(weight), grad, out)
            grad_state = operator.leave(out)
        return grad_weight, grad_state

    def empty_outputs(self, weight: Tensor, state: Tensor) -> Tensor:  # noqa: ARG002
        return self.operator.new_states(state, self.operator.num_targets, state.size(1))
