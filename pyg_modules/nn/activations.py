"""The activation functions that a layer knows by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "softplus": F.softplus,
    "identity": torch.clone,
}

_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.ELU: "elu",
    nn.Softplus: "softplus",
    nn.Identity: "identity",
}


def check_activation(name: str) -> None:
    """Raise unless ``name`` is the name of an activation function."""
    if name not in ACTIVATIONS:
        names = ", ".join(repr(known) for known in ACTIVATIONS)
        raise ValueError(f"Expected activation to be one of {names} (got {name!r}).")


def activation_of(module: nn.Module) -> str:
    """The name of the activation function that ``module`` computes with default settings."""
    name = _MODULES.get(type(module))
    if name is None or repr(module) != repr(type(module)()):
        known = ", ".join(f"nn.{known.__name__}()" for known in _MODULES)
        raise ValueError(f"Expected an activation among {known} (got {module!r}).")
    return name
