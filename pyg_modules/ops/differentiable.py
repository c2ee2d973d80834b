"""One forward and one backward pass, as autograd and as compilers want them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from pyg_modules.ops.autocast import has_autocast, without_autocast
from pyg_modules.ops.batched_gradient import for_each_gradient
from pyg_modules.ops.operator import OPERATORS, EdgeOperator
from pyg_modules.ops.tracing import is_compiling, is_transforming

if TYPE_CHECKING:
    from typing_extensions import Self


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether autograd follows what is computed from ``tensors``, or a program may be made to."""
    if torch.compiler.is_exporting():
        return True
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


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
    """Raise if ``torch.func``, or what else :func:`is_transforming` tells, looks into ``what``."""
    if is_transforming():
        raise RuntimeError(
            f"Expected no transformation of torch.func, such as vmap or jacrev, no forward-mode"
            f" derivatives, no torch.jit.trace and no make_fx (got one): they cannot look into"
            f" {what}. Use"
            f" backend='auto', 'dense' or 'scatter' and an Unrolled solver."
        )


class Differentiable(ABC):
    """A function of weights ``[e]`` and states ``[n, B]``, with its derivative.

    A subclass computes on plain tensors. Of its two passes a :class:`torch.autograd.Function` is
    made for eager calls, and an operator of ``torch.library``, ``pyg_modules::<name>``, for
    ``torch.compile`` and ``torch.export``; called eagerly, that would cost some 70 microseconds.
    A compiler keeps an instance as tensors, strings and numbers: the operator, :meth:`settings`,
    and what :meth:`restored` makes of them.

    Args:
        operator (EdgeOperator): The edges.
    """

    #: Name of the operator of ``torch.library``.
    name: ClassVar[str]
    #: Number of tensors that :meth:`forward` returns; the first is differentiable.
    num_outputs: ClassVar[int] = 1
    #: The outputs that :meth:`backward` reads.
    saved: ClassVar[slice] = slice(0)
    _compiled: ClassVar[Callable[..., Any]]

    def __init__(self, operator: EdgeOperator) -> None:
        self.operator = operator

    def __init_subclass__(cls) -> None:
        cls._compiled = _library_operator(cls)

    @property
    def subject(self) -> str:
        """What errors call it."""
        kind = "backend" if self.operator.is_backend else "operator"
        return f"the {kind} {self.operator.name!r}"

    def settings(self) -> tuple[str, list[int], list[float]]:
        """A name, counts and numbers, at least one, that say what it is beside its operator.

        Counts of rows belong among the counts: they may be those of a program for any image.
        """
        return "", [0], [0.0]

    @classmethod
    def restored(
        cls,
        operator: EdgeOperator,
        name: str,  # noqa: ARG003
        counts: Sequence[int],  # noqa: ARG003
        numbers: Sequence[float],  # noqa: ARG003
    ) -> Self:
        """The instance with these :meth:`settings`."""
        return cls(operator)

    @abstractmethod
    def forward(self, weight: Tensor, state: Tensor) -> Any:
        """The output, or a tuple of several, in memory of their own."""

    @abstractmethod
    def backward(
        self, needs: Sequence[bool], grad: Tensor, weight: Tensor, state: Tensor, *saved: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of weights and states; ``None`` may be left for what is not needed."""

    @abstractmethod
    def empty_outputs(self, weight: Tensor, state: Tensor) -> Any:
        """Tensors like those of :meth:`forward`, for compilers."""

    def entry(self, *, with_gradient: bool = True) -> Callable[[Self, Tensor, Tensor], Any]:
        """:meth:`forward` as autograd or a compiler wants it called: with this, weights and states.

        It is returned, and not called here, to keep the way to the kernels short.

        Args:
            with_gradient (bool, optional): Whether autograd has to look on. (default: ``True``)

        Raises:
            RuntimeError: If a transformation of ``torch.func`` looks on.
        """
        if has_autocast(self.operator.index[0].device):
            return _without_autocast
        refuse_transformation(self.subject)
        # On meta as for a compiler there are shapes alone.
        if is_compiling() or self.operator.index[0].is_meta:
            return _call_compiled
        return _Eager.apply if with_gradient else type(self).forward


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Differentiable, weight: Tensor, state: Tensor) -> Any:
        outputs = function.forward(weight, state)
        ctx.function = function
        ctx.set_materialize_grads(False)
        _keep(ctx, function, outputs, weight, state)
        return outputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        function = ctx.function
        refuse_second_derivative(function.subject, function.operator.second_derivatives)
        if grad is None:
            return None, None, None
        # Autocast of who calls backward.
        backward, needs, saved = function.backward, ctx.needs_input_grad[1:], ctx.saved_tensors
        with without_autocast(grad.device):
            return None, *for_each_gradient(lambda one: backward(needs, one, *saved), grad)


def _keep(
    ctx: Any, function: Differentiable | type[Differentiable], outputs: Any, *inputs: Tensor
) -> None:
    """Keep for the backward pass what it reads."""
    if function.num_outputs == 1:
        ctx.save_for_backward(*inputs)
    else:
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.save_for_backward(*inputs, *outputs[function.saved])


def _without_autocast(function: Differentiable, weight: Tensor, state: Tensor) -> Any:
    """Kernels that write into tensors of theirs know no other dtype than that of the weights."""
    with without_autocast(weight.device):
        return function.entry()(function, weight, state.to(weight.dtype))


_KEPT = "Tensor[] index, SymInt[] sizes, str backend, str name, SymInt[] counts, float[] numbers"


def _call_compiled(function: Differentiable, weight: Tensor, state: Tensor) -> Any:
    operator = function.operator
    kept = list(operator.index), list(operator.sizes), operator.name, *function.settings()
    return function._compiled(weight, state, *kept)


def _library_operator(cls: type[Differentiable]) -> Callable[..., Any]:
    """The two passes of ``cls`` as operators of ``torch.library``."""

    def restored(
        index: list[Tensor], sizes: list[int], backend: str, *settings: Any
    ) -> Differentiable:
        return cls.restored(OPERATORS[backend](index, sizes), *settings)

    def forward(weight: Tensor, state: Tensor, *kept: Any) -> Any:
        return restored(*kept).forward(weight, state)

    def empty_outputs(weight: Tensor, state: Tensor, *kept: Any) -> Any:
        return restored(*kept).empty_outputs(weight, state)

    def backward(
        grad: Tensor, weight: Tensor, state: Tensor, saved: list[Tensor], *kept: Any
    ) -> tuple[Tensor, ...]:
        found = restored(*kept).backward((True, True), grad, weight, state, *saved)
        pairs = zip(found, (weight, state), strict=True)
        return tuple(torch.zeros_like(of) if value is None else value for value, of in pairs)

    def empty_gradients(
        grad: Tensor,  # noqa: ARG001
        weight: Tensor,
        state: Tensor,
        saved: list[Tensor],  # noqa: ARG001
        *kept: Any,
    ) -> tuple[Tensor, Tensor]:
        operator = restored(*kept).operator
        return torch.empty_like(weight), operator.new_states(state, *state.shape)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        weight, state, index, *ctx.kept = inputs
        ctx.num_index = len(index)
        _keep(ctx, cls, output, weight, state, *index)

    def autograd(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
        weight, state, *rest = ctx.saved_tensors
        index, saved = rest[: ctx.num_index], rest[ctx.num_index :]
        function = restored(index, *ctx.kept)
        refuse_second_derivative(function.subject, function.operator.second_derivatives)
        both = gradients(grad, weight, state, saved, index, *ctx.kept)
        return (*both, [None] * len(index), *(None for _ in ctx.kept))

    returned = ", ".join(["Tensor"] * cls.num_outputs)
    name = f"pyg_modules::{cls.name}"
    operator = torch.library.custom_op(
        name,
        forward,
        mutates_args=(),
        schema=f"(Tensor weight, Tensor state, {_KEPT}) -> ({returned})",
    )
    gradients = torch.library.custom_op(
        f"{name}_backward",
        backward,
        mutates_args=(),
        schema=f"(Tensor grad, Tensor weight, Tensor state, Tensor[] saved, {_KEPT})"
        " -> (Tensor, Tensor)",
    )
    operator.register_fake(empty_outputs)
    gradients.register_fake(empty_gradients)
    operator.register_autograd(autograd, setup_context=setup_context)
    return operator
