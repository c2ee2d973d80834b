"""How much the effect of one input of a layer depends on another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.train.dependence import by_unit

# About as many samples say which inputs act together; fewer of many inputs: each takes a pass.
_SAMPLES, _PASSES = 256, 1024


def interaction(
    layer: UnitLayer, calls: Iterable[tuple[Tensor, Any, Any]], seed: int
) -> Tensor | None:
    """The interaction as :meth:`Probe.interaction` has it, ``[I, I]``, of an epoch of calls.

    Args:
        layer (UnitLayer): In evaluation mode; its parameters need no gradient.
        calls (iterable of tuple): What it is called with: ``x``, without a gradient, others, and
            others by name. They are taken as long as they are needed.
        seed (int): Of the samples that inputs are replaced from.
    """
    num_inputs = layer.graph.num_inputs
    kept = _first(layer, calls)
    if not kept:
        return None
    generator = torch.Generator("cpu").manual_seed(seed)
    columns = torch.cat([by_unit(layer, x) for x, _, _ in kept], dim=1)
    with torch.no_grad():
        outputs = torch.cat(
            [by_unit(layer, layer(x, *more, **named)) for x, more, named in kept], 1
        )
    single = torch.promote_types(columns.dtype, torch.float)
    of_inputs, of_outputs = (
        values.to(single).std(dim=1, correction=0) for values in (columns, outputs)
    )
    scale = torch.where(of_outputs > 0, 1 / of_outputs, 0.0)
    found = columns.new_zeros((num_inputs, num_inputs), dtype=single)
    order = torch.randperm(num_inputs, generator=generator, device="cpu")[:_PASSES].tolist()
    for x, others, named in kept:
        signs = torch.randint(2, scale.shape, generator=generator, device="cpu").to(scale) * 2 - 1
        before = _slope(layer, x, others, named, signs * scale)
        for unit in order:
            replaced = x.clone()
            values = replaced.select(layer.unit_dim, unit)
            chosen = torch.randint(
                columns.size(1), (values.numel(),), generator=generator, device="cpu"
            )
            values.copy_(columns[unit, chosen.to(columns.device)].view_as(values))
            after = _slope(layer, replaced, others, named, signs * scale)
            found[unit] += (after - before).to(single).abs().sum(dim=1)
    found *= of_inputs
    found.fill_diagonal_(0)
    return found + found.T


def _first(
    layer: UnitLayer, calls: Iterable[tuple[Tensor, Any, Any]]
) -> list[tuple[Tensor, Any, Any]]:
    kept: list[tuple[Tensor, Any, Any]] = []
    num_samples = 0
    for call in calls:
        kept.append(call)
        num_samples += by_unit(layer, call[0]).size(1)
        if num_samples >= _SAMPLES or (len(kept) + 1) * layer.graph.num_inputs > _PASSES:
            break
    return kept


def _slope(layer: UnitLayer, x: Tensor, others: Any, named: Any, weights: Tensor) -> Tensor:
    """The derivatives of a weighted sum of outputs, ``[I, B]``."""
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        outputs = by_unit(layer, layer(x, *others, **named))
        (slope,) = torch.autograd.grad((weights.to(outputs) @ outputs).sum(), x)
    return by_unit(layer, slope)
