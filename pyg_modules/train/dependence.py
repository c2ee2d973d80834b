"""How strongly the outputs of a layer depend on its inputs, and on what goes along with these."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.train.slopes import Call, by_unit, slopes, spreads

# About as many samples say which outputs depend on which inputs; fewer, if there are many outputs:
# of each a batch takes a backward pass.
_SAMPLES, _PASSES = 256, 64
# As many samples at most, and numbers, say which inputs go along with each other.
_SEEN, _NUMBERS = 4096, 2**22
# A correlation of fewer standard errors may be chance.
_SIGNIFICANT = 5.0
# Correlations are computed for so many pairs of inputs at once.
_PAIRS = 2**22


def dependence(layer: UnitLayer, calls: Iterable[Call]) -> Tensor | None:
    """The influence as :meth:`Probe.influence` has it, ``[I, O]``, of an epoch of calls.

    Args:
        layer (UnitLayer): In evaluation mode; its parameters need no gradient.
        calls (iterable of tuple): What it is called with, taken as long as it is needed.
    """
    steepness: list[Tensor] = []
    outputs: list[Tensor] = []
    samples: list[Tensor] = []
    num_inputs, num_outputs = layer.graph.num_inputs, layer.graph.num_outputs
    most = min(_SEEN, _NUMBERS // max(1, num_inputs))
    for call in calls:
        seen = sum(columns.size(1) for columns in samples)
        if seen < _SAMPLES and len(steepness) * num_outputs < _PASSES:
            told, derivatives = slopes(layer, call)
            single = torch.promote_types(told.dtype, torch.float)
            steep = [slope.abs().to(single).sum(dim=1) for slope in derivatives]
            steepness.append(torch.stack(steep, dim=1))
            outputs.append(told.to(single))
        samples.append(_spread_out(by_unit(layer, call[0]), most - seen))
        if seen + samples[-1].size(1) >= most:
            break
    if not steepness:
        return None
    columns = torch.cat(samples, dim=1)
    columns = columns.to(torch.promote_types(columns.dtype, torch.float))
    # A call may be of one sample, and rare inputs are the same in most: spreads are of all calls.
    of_inputs, scale = spreads(columns, torch.cat(outputs, dim=1))
    direct = of_inputs.unsqueeze(1) * torch.stack(steepness).sum(dim=0) * scale
    sums = direct.sum(dim=0)
    shares = direct / torch.where(sums > 0, sums, 1.0)
    columns = _standardized(columns)
    return _along(columns, _along(columns, shares.to(columns.dtype)))


def _spread_out(columns: Tensor, number: int) -> Tensor:
    """So many of the columns at most, from all over: the first may all be of one image."""
    if columns.size(1) <= number:
        return columns
    last = columns.size(1) - 1
    chosen = torch.linspace(0, last, number, dtype=torch.double, device="cpu").long()
    return columns[:, chosen.to(columns.device)]


def _standardized(columns: Tensor) -> Tensor:
    """Rows of mean 0 and of length 1, or of length 0 where all of a row is the same."""
    centred = columns - columns.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    # What is left of equal numbers is rounding.
    tiny = torch.finfo(columns.dtype).eps * columns.norm(dim=1, keepdim=True)
    return torch.where(length > tiny, centred / length, 0.0)


def _along(columns: Tensor, values: Tensor) -> Tensor:
    """Of every input, the sum of the values of all, each times how much they go along."""
    least = _SIGNIFICANT / columns.size(1) ** 0.5
    at_once = max(1, _PAIRS // len(columns))
    found = []
    for start in range(0, len(columns), at_once):
        correlation = (columns[start : start + at_once] @ columns.T).abs()
        correlation[correlation < least] = 0
        correlation.diagonal(start).fill_(1.0)
        found.append(correlation @ values)
    return torch.cat(found)
