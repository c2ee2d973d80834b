"""How much the effect of one input of a layer depends on another."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.train.slopes import Call, by_unit, slopes, spreads

# About as many samples say which inputs act together, and as many inputs are replaced at most;
# fewer where a call has more rows.
_SAMPLES, _PASSES = 256, 1024
# Of as many weighted sums of outputs.
_SUMS = 4


def interaction(layer: UnitLayer, calls: Iterable[Call], seed: int) -> Tensor | None:
    """The interaction as :meth:`Probe.interaction` has it, ``[I, I]``, of an epoch of calls.

    Args:
        layer (UnitLayer): In evaluation mode; its parameters need no gradient.
        calls (iterable of tuple): What it is called with, taken as long as it is needed.
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
    of_inputs, scale = spreads(columns, outputs)
    found = of_inputs.new_zeros(num_inputs, num_inputs)
    passes = max(1, _SAMPLES * _PASSES // max(_SAMPLES, columns.size(1)))
    order = torch.randperm(num_inputs, generator=generator, device="cpu")[:passes].tolist()
    for x, others, named in kept:
        weights = _sums(len(scale), generator).to(scale) * scale
        before = _of_sums(layer, (x, others, named), weights)
        for unit in order:
            replaced = x.clone()
            values = replaced.select(layer.unit_dim, unit)
            chosen = torch.randint(
                columns.size(1), (values.numel(),), generator=generator, device="cpu"
            )
            values.copy_(columns[unit, chosen.to(columns.device)].view_as(values))
            after = _of_sums(layer, (replaced, others, named), weights)
            found[unit] += (after - before).to(found).abs().sum(dim=(0, 2))
    found *= of_inputs / columns.size(1)
    found.fill_diagonal_(0)
    return found + found.T


def _first(layer: UnitLayer, calls: Iterable[Call]) -> list[Call]:
    """The first calls with about as many samples; fewer rows where these are all there is."""
    kept: list[Call] = []
    num_samples = 0
    for x, others, named in calls:
        rows = x[: _SAMPLES - num_samples] if not others and not named and x.dim() == 2 else x
        kept.append((rows, others, named))
        num_samples += by_unit(layer, rows).size(1)
        if num_samples >= _SAMPLES or (len(kept) + 1) * layer.graph.num_inputs > _PASSES:
            break
    return kept


def _sums(num_outputs: int, generator: torch.Generator) -> Tensor:
    """Weights of outputs, ``[S, O]``: each alone, or several with random signs.

    One sum alone may be of what the outputs have in common, which a cross-entropy never trains.
    """
    if num_outputs <= _SUMS:
        return torch.eye(num_outputs, device="cpu")
    shape = _SUMS, num_outputs
    return torch.randint(2, shape, generator=generator, device="cpu").float() * 2 - 1


def _of_sums(layer: UnitLayer, call: Call, weights: Tensor) -> Tensor:
    """The derivatives of weighted sums of outputs, ``[S, I, B]``."""
    return torch.stack(list(slopes(layer, call, weights)[1]))
