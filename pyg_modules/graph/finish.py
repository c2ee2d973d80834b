"""What is done with random edges before they are a graph: order, and units that take no part."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.graph.paths import distances
from pyg_modules.graph.sampling import Edges

_logger = logging.getLogger(__name__)


def joined(*parts: Edges) -> Edges:
    """All edges of ``parts``, one part after the other."""
    sources, targets = zip(*parts, strict=True)
    return np.concatenate(sources), np.concatenate(targets)


def repaired(edges: Edges, missing: Edges) -> Edges:
    """``edges`` with those that bring all hidden units to life; their number is logged."""
    _logger.info("Added %d edges, so that every hidden unit takes part.", missing[0].size)
    return joined(edges, missing)


def in_order(edges: Edges, rank: Ints, num_units: int) -> Tensor:
    """Edges ``[2, E]`` by their ``rank``, in each by target, then source."""
    source, target = edges
    bits = num_units.bit_length()
    keys = (rank << 2 * bits) | (target << bits) | source
    keys.sort()
    mask = (1 << bits) - 1
    return torch.from_numpy(np.stack([keys & mask, keys >> bits & mask]))


def warn_of_idle(edge_index: Tensor, sizes: tuple[int, int, int]) -> None:
    """Warn of hidden units that no input reaches, or that reach no output, and of unfed outputs."""
    (source, target), num_units = edge_index.numpy(), sum(sizes)
    num_inputs, num_hidden, num_outputs = sizes
    outputs = range(num_inputs + num_hidden, num_units)
    length = distances(source, target, num_units, range(num_inputs))
    length += distances(target, source, num_units, outputs)
    num_idle = int(np.isinf(length[num_inputs : outputs.start]).sum())
    num_unfed = num_outputs - np.unique(target[target >= outputs.start]).size
    found = []
    if num_idle:
        found.append(
            f"{num_idle} of {num_hidden} hidden units take no part: no input reaches them, or they"
            f" reach no output."
        )
    if num_hidden and num_unfed:
        found.append(
            f"{num_unfed} of {num_outputs} outputs have no edge, and are the same for all inputs."
        )
    if found:
        warnings.warn(
            f"{' '.join(found)} Use repair=True, which adds a few edges that change this, or"
            f" draw more edges.",
            stacklevel=4,
        )
