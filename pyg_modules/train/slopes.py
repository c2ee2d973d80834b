"""Derivatives of the outputs of a layer in its inputs, a row per unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pyg_modules.modules.attribution import derivatives
from pyg_modules.nn.unit_layer import UnitLayer

#: What a layer is called with: ``x``, without a gradient, others, and others by name.
Call = tuple[Tensor, Any, Any]


def by_unit(layer: UnitLayer, values: Tensor) -> Tensor:
    """A row per unit."""
    units = values.movedim(layer.unit_dim, 0)
    return units.reshape(len(units), -1)


def slopes(
    layer: UnitLayer, call: Call, weights: Tensor | None = None
) -> tuple[Tensor, Iterator[Tensor]]:
    """The outputs of one call, ``[O, B]``, and their derivatives in the inputs, ``[I, B]`` each.

    Args:
        layer (UnitLayer): In evaluation mode; its parameters need no gradient.
        call (tuple): What it is called with.
        weights (Tensor, optional): Of sums of outputs, ``[S, O]``, whose derivatives these are.
            (default: those of every output)
    """
    x, others, named = call
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        outputs = by_unit(layer, layer(x, *others, **named))
        # Where samples do not depend on each other, the derivatives of the sum are those of each.
        sums = outputs.sum(dim=1)
        if weights is not None:
            sums = weights.to(sums) @ sums
    return outputs.detach(), (by_unit(layer, slope) for slope in derivatives(sums, x))


def spreads(columns: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The standard deviations of inputs, ``[I]``; and one over those of outputs, ``[O]``, or 0."""
    single = torch.promote_types(columns.dtype, torch.float)
    of_inputs, of_outputs = (
        values.to(single).std(dim=1, correction=0) for values in (columns, outputs)
    )
    return of_inputs, torch.where(of_outputs > 0, 1 / of_outputs, 0.0)
