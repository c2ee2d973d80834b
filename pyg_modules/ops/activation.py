"""The activation functions that a layer knows by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_modules._brief import brief
from pyg_modules._checks import check_choice

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An activation function f and what a solver must know of it.

    Args:
        name (str): Its name.
        module (type): The :class:`torch.nn.Module` that computes it with default settings.
        function (callable): f, differentiable.
        backward (callable): Multiplies a gradient in place by f', given the states or, without
            ``function_``, the weighted sums.
        function_ (callable, optional): f in place. ``None`` if ``backward`` needs the weighted
            sums, so that they must be kept.
        lipschitz (float): The largest magnitude of f'.
        code (int): What compiled kernels call it, its own number.
    """

    name: str
    module: type[nn.Module]
    function: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], object]
    function_: Callable[[Tensor], Tensor] | None = None
    lipschitz: float = 1.0
    code: int = 0

    @property
    def needs_sums(self) -> bool:
        """Whether the derivative is computed from the weighted sums instead of the states."""
        return self.function_ is None


class RowActivation(NamedTuple):
    """An activation function on the first rows of sums; the rows after them are linear.

    Args:
        activation (Activation): The function.
        num_rows (int): On how many rows it acts.
    """

    activation: Activation
    num_rows: int

    def __call__(self, sums: Tensor) -> Tensor:
        """The states, in a tensor of their own."""
        function, num_rows = self.activation.function, self.num_rows
        if num_rows == sums.size(0):
            return function(sums)
        return torch.cat([function(sums[:num_rows]), sums[num_rows:]])

    def apply_(self, sums: Tensor) -> Tensor:
        """The states; in place, unless the derivative needs the sums."""
        function_, num_rows = self.activation.function_, self.num_rows
        if function_ is None:
            return self(sums)
        function_(sums if num_rows == sums.size(0) else sums[:num_rows])
        return sums

    def backward_(self, grad: Tensor, saved: Tensor) -> None:
        """Multiply ``grad`` by the derivative at ``saved``, states or sums, in place."""
        if self.num_rows != grad.size(0):
            grad, saved = grad[: self.num_rows], saved[: self.num_rows]
        self.activation.backward(grad, saved)


# The kernels that autograd itself calls, writing over the gradient.
_ACTIVATIONS = (
    Activation(
        "relu",
        nn.ReLU,
        torch.relu,
        lambda grad, states: _aten.threshold_backward.grad_input(grad, states, 0, grad_input=grad),
        torch.relu_,
        code=1,
    ),
    Activation(
        "tanh",
        nn.Tanh,
        torch.tanh,
        lambda grad, states: _aten.tanh_backward.grad_input(grad, states, grad_input=grad),
        torch.tanh_,
        code=2,
    ),
    Activation(
        "sigmoid",
        nn.Sigmoid,
        torch.sigmoid,
        lambda grad, states: _aten.sigmoid_backward.grad_input(grad, states, grad_input=grad),
        torch.sigmoid_,
        lipschitz=0.25,
        code=3,
    ),
    Activation(  # The largest slope of x * cdf(x), rounded up.
        "gelu",
        nn.GELU,
        F.gelu,
        lambda grad, sums: _aten.gelu_backward.grad_input(grad, sums, grad_input=grad),
        lipschitz=1.129,
        code=4,
    ),
    Activation(  # The largest slope of x * sigmoid(x), rounded up.
        "silu",
        nn.SiLU,
        F.silu,
        lambda grad, sums: _aten.silu_backward.grad_input(grad, sums, grad_input=grad),
        lipschitz=1.0999,
        code=5,
    ),
    Activation(
        "elu",
        nn.ELU,
        F.elu,
        lambda grad, states: _aten.elu_backward.grad_input(
            grad, 1, 1, 1, True, states, grad_input=grad
        ),
        _aten.elu_,
        code=6,
    ),
    Activation(
        "softplus",
        nn.Softplus,
        F.softplus,
        lambda grad, sums: _aten.softplus_backward.grad_input(grad, sums, 1, 20, grad_input=grad),
        code=7,
    ),
    Activation(
        "identity", nn.Identity, torch.clone, lambda grad, _: grad, function_=lambda sums: sums
    ),
)
ACTIVATIONS: dict[str, Activation] = {activation.name: activation for activation in _ACTIVATIONS}
#: The function with a learned slope for each unit, which no kernel computes by itself.
PRELU = "prelu"

#: What units without an activation do.
LINEAR = RowActivation(ACTIVATIONS["identity"], 0)


def check_activation(name: object) -> None:
    """Raise unless ``name`` is the name of an activation function."""
    check_choice("activation", name, (*ACTIVATIONS, PRELU))


def activation_of(module: nn.Module) -> str:
    """The name of the activation function that ``module`` computes with default settings.

    One that computes in place is taken, too; who may read what it overwrites is not looked at.
    """
    given = module
    if getattr(module, "inplace", False):
        module = copy.copy(module)
        module.inplace = False  # type: ignore[assignment]
    for activation in ACTIVATIONS.values():
        if type(module) is activation.module and repr(module) == repr(activation.module()):
            return activation.name
    known = ", ".join(f"nn.{known.module.__name__}()" for known in ACTIVATIONS.values())
    raise ValueError(
        f"Expected an activation among {known} (got {brief(given)})."
        " Use one of these, or SynchronousGraph(graph, activation=...) and train it."
    )
