"""Reading an MLP: its levels, its activation and its parameters in the order of a unit graph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pyg_modules.ops.activation import activation_of


@dataclass(frozen=True)
class MLPParts:
    """An MLP taken apart.

    Args:
        sizes (list of int): Units per level, inputs first.
        activation (str): Name of the activation between the levels.
        weight (Tensor): Weights in the order of the edges of ``UnitGraph.layered(sizes)``, ``[E]``.
        bias (Tensor): Biases of the hidden and output units, ``[N - I]``.
    """

    sizes: list[int]
    activation: str
    weight: Tensor
    bias: Tensor


def read_mlp(mlp: nn.Sequential) -> MLPParts:
    """The parts of ``nn.Sequential(Linear, activation, Linear, ..., Linear)``."""
    if not isinstance(mlp, nn.Sequential):
        raise TypeError(
            f"Expected an nn.Sequential of Linear and activation modules (got"
            f" {type(mlp).__name__}). Wrap the modules in nn.Sequential(...)."
        )
    modules = list(mlp)
    linears, activations = modules[0::2], modules[1::2]
    if len(linears) != len(activations) + 1:
        raise ValueError(
            f"Expected Linear and activation modules in turn, first and last a Linear (got"
            f" {_sequence(modules)})."
        )
    layers = [linear for linear in linears if isinstance(linear, nn.Linear)]
    if len(layers) != len(linears):
        raise ValueError(
            f"Expected Linear modules at even positions (got {_sequence(modules)}). Remove what"
            f" does nothing in evaluation, such as Dropout; fold BatchNorm into the Linear."
        )
    names = {activation_of(module) for module in activations}
    if len(names) > 1:
        raise ValueError(
            f"Expected the same activation between all levels (got {', '.join(sorted(names))})."
        )
    for lower, upper in pairwise(layers):
        if lower.out_features != upper.in_features:
            raise ValueError(
                f"Expected matching levels (got {lower.out_features} features into"
                f" {upper.in_features})."
            )
    return MLPParts(
        sizes=[layers[0].in_features, *(layer.out_features for layer in layers)],
        activation=names.pop() if names else "identity",
        # Linear.weight is [target, source], and so run the edges of a layered graph.
        weight=torch.cat([layer.weight.reshape(-1) for layer in layers]).detach(),
        bias=torch.cat([_bias(layer) for layer in layers]).detach(),
    )


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


def _sequence(modules: list[nn.Module]) -> str:
    return ", ".join(type(module).__name__ for module in modules) or "nothing"
