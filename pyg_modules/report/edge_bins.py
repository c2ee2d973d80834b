from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.palette import CATEGORIES, GUIDE, NEGATIVE
from pyg_modules.report.squares import MOST_SQUARES
from pyg_modules.structure.edge_map import EdgeMap

#: What became of an edge, and its colour.
KINDS = {"kept": GUIDE, "removed": NEGATIVE, "added": CATEGORIES[0]}


@dataclass(frozen=True, eq=False)
class EdgeBins:
    """What became of the edges between hidden units, counted in squares of their matrix.

    Args:
        counts (dict): By kind in ``KINDS``, how many edges of it are in every square, ``[B, B]``,
            rows as targets and columns as sources.
        units (LongTensor): The hidden units in the order of the rows and columns, ``[H]``.
        width (int): Number of units to a side of a square; the last ones may have fewer.
    """

    counts: dict[str, Ints]
    units: Tensor
    width: int

    def sum(self, kinds: Iterable[str] = KINDS) -> Ints:
        """How many edges of some kinds are in every square, ``[B, B]``."""
        total: Ints = np.sum([self.counts[kind] for kind in kinds], axis=0)
        return total

    def rgb(self, kinds: Iterable[str] = KINDS) -> npt.NDArray[np.uint8]:
        """The colours of the squares, ``[B, B, 3]``: those of the edges of some kinds, mixed.

        The more of the possible edges there are, the darker; by the square root of their share, so
        that few are seen beside many.
        """
        kinds = tuple(kinds)
        starts = np.arange(len(self.counts["kept"])) * self.width
        sizes = np.minimum(len(self.units) - starts, self.width)
        possible = np.outer(sizes, sizes)
        densest = (self.sum() / possible).max()
        number = self.sum(kinds)
        shade = np.sqrt(number / possible / (densest or 1))
        ink = sum(self.counts[kind][..., None] * (255 - _rgb(KINDS[kind])) for kind in kinds)
        mixed = ink / np.maximum(number, 1)[..., None]
        colors: npt.NDArray[np.uint8] = np.rint(255 - shade[..., None] * mixed).astype(np.uint8)
        return colors


def bin_edges(before: UnitGraph, after: UnitGraph, labels: Tensor | None = None) -> EdgeBins:
    """Count the edges between hidden units that were kept, removed and added.

    Args:
        before (UnitGraph): The graph as it was, with hidden units.
        after (UnitGraph): The graph of the same units as it is now.
        labels (LongTensor, optional): Module of every unit, ``[N]``, which the hidden units are
            ordered by. (default: by their ids)
    """
    hidden = torch.arange(before.hidden.start, before.hidden.stop, device="cpu")
    if labels is not None:
        hidden = hidden[torch.argsort(labels.cpu()[hidden], stable=True)]
    width = -(-len(hidden) // MOST_SQUARES)
    num = -(-len(hidden) // width)
    square = torch.full((before.num_units,), -1, device="cpu")
    square[hidden] = torch.arange(len(hidden), device="cpu") // width
    edges = EdgeMap.between(before, after)
    was, now = before.edge_index.cpu(), after.edge_index.cpu()
    found = {"kept": now[:, edges.new], "removed": _without(was, edges.old)}
    found["added"] = _without(now, edges.new)
    counts = {}
    for kind, (source, target) in found.items():
        column, row = square[source], square[target]
        place = (row * num + column)[(row >= 0) & (column >= 0)]
        counts[kind] = torch.bincount(place, minlength=num**2).view(num, num).numpy()
    return EdgeBins(counts, hidden, width)


def _without(edge_index: Tensor, positions: Tensor) -> Tensor:
    is_left = torch.ones(edge_index.size(1), dtype=torch.bool, device="cpu")
    is_left[positions] = False
    return edge_index[:, is_left]


def _rgb(color: str) -> Ints:
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)])
