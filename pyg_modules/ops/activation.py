"""The activation functions that a layer knows by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An activation function f and what a solver must know of it.

    Args:
        name (str): Its name.
        module (type): The :class:`torch.nn.Module` that computes it with default settings.
        function (callable): f, differentiable.
        backward (callable): The kernel of torch that multiplies a gradient by f', with
            ``grad_input`` for the result.
        arguments (tuple): What ``backward`` takes besides the gradient and the states or sums;
            ``...`` stands for those.
        function_ (callable, optional): f in place. ``None`` if ``backward`` needs the weighted sums
            and not the states, so that the sums must be kept.
        lipschitz (float): The largest |f'|.
    """

    name: str
    module: type[nn.Module]
    function: Callable[[Tensor], Tensor]
    backward: Callable[..., Tensor]
    arguments: tuple[Any, ...] = (...,)
    function_: Callable[[Tensor], Tensor] | None = None
    lipschitz: float = 1.0

    @property
    def needs_sums(self) -> bool:
        """Whether the derivative is computed from the weighted sums instead of the states."""
        return self.function_ is None

    def __call__(self, sums: Tensor, num_activated: int) -> Tensor:
        """F on the first ``num_activated`` rows of ``sums``; the rows after them are linear."""
        activated = self.function(sums[:num_activated])
        if num_activated == sums.size(0):
            return activated
        return torch.cat([activated, sums[num_activated:]])

    def apply_(self, sums: Tensor, num_activated: int) -> Tensor:
        """The states; in place, unless the derivative needs the sums."""
        if self.function_ is None:
            return self(sums, num_activated)
        self.function_(sums[:num_activated])
        return sums

    def backward_(self, grad: Tensor, saved: Tensor, num_activated: int) -> None:
        """Multiply ``grad`` by the derivative at ``saved``, states or sums, in place."""
        rows, saved = grad[:num_activated], saved[:num_activated]
        arguments = (saved if argument is ... else argument for argument in self.arguments)
        self.backward(rows, *arguments, grad_input=rows)


def _identity_backward(grad: Tensor, saved: Tensor, grad_input: Tensor) -> Tensor:  # noqa: ARG001
    return grad


_ACTIVATIONS = (
    Activation(
        "relu", nn.ReLU, torch.relu, _aten.threshold_backward, (..., 0), function_=torch.relu_
    ),
    Activation("tanh", nn.Tanh, torch.tanh, _aten.tanh_backward, function_=torch.tanh_),
    Activation(
        "sigmoid",
        nn.Sigmoid,
        torch.sigmoid,
        _aten.sigmoid_backward,
        function_=torch.sigmoid_,
        lipschitz=0.25,
    ),
    # The largest slopes of x * cdf(x) and x * sigmoid(x), rounded up.
    Activation("gelu", nn.GELU, F.gelu, _aten.gelu_backward, lipschitz=1.129),
    Activation("silu", nn.SiLU, F.silu, _aten.silu_backward, lipschitz=1.0999),
    Activation(
        "elu", nn.ELU, F.elu, _aten.elu_backward, (1, 1, 1, True, ...), function_=_aten.elu_
    ),
    Activation("softplus", nn.Softplus, F.softplus, _aten.softplus_backward, (..., 1, 20)),
    Activation(
        "identity", nn.Identity, torch.clone, _identity_backward, function_=lambda sums: sums
    ),
)
ACTIVATIONS: dict[str, Activation] = {activation.name: activation for activation in _ACTIVATIONS}


def check_activation(name: str) -> None:
    """Raise unless ``name`` is the name of an activation function."""
    if name not in ACTIVATIONS:
        names = ", ".join(repr(known) for known in ACTIVATIONS)
        raise ValueError(f"Expected activation to be one of {names} (got {name!r}).")


def activation_of(module: nn.Module) -> str:
    """The name of the activation function that ``module`` computes with default settings."""
    for activation in ACTIVATIONS.values():
        if type(module) is activation.module and repr(module) == repr(activation.module()):
            return activation.name
    known = ", ".join(f"nn.{known.module.__name__}()" for known in ACTIVATIONS.values())
    raise ValueError(f"Expected an activation among {known} (got {module!r}).")
