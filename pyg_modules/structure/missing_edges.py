from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_modules._arrays import Bools, Ints
from pyg_modules.graph.sampling import Edges, distinct
from pyg_modules.structure.possible_edges import PossibleEdges


class MissingEdges:
    """The possible edges that a graph does not have, numbered; none of them is stored.

    Args:
        possible (PossibleEdges): The possible edges.
        edge_index (LongTensor): Those that are there, and perhaps others, ``[2, E]``.
        targets (bool array): Which units may get an edge, ``[N]``.
    """

    def __init__(self, possible: PossibleEdges, edge_index: Tensor, targets: Bools) -> None:
        self._blocks = [(sources, units[targets[units]]) for sources, units in possible.blocks]
        sizes = [sources.size * units.size for sources, units in self._blocks]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        source, target = edge_index.numpy()
        taken = [self._cells(source, target)]
        if not possible.has_loops:
            units = np.arange(targets.size)
            taken.append(self._cells(units, units))
        cells = distinct(np.concatenate(taken))
        # How many missing edges come before each of these.
        self._before = cells - np.arange(cells.size)
        #: Number of missing edges.
        self.count = int(self._starts[-1]) - cells.size

    def at(self, numbers: Ints) -> Tensor:
        """The missing edges of these numbers, from 0 to ``count - 1``, ``[2, n]``."""
        cells = numbers + np.searchsorted(self._before, numbers, side="right")
        edges = np.empty((2, cells.size), np.int64)
        block_of_cell = np.searchsorted(self._starts, cells, side="right") - 1
        for number in np.unique(block_of_cell):
            sources, targets = self._blocks[number]
            of_block = block_of_cell == number
            row, column = np.divmod(cells[of_block] - self._starts[number], sources.size)
            edges[:, of_block] = sources[column], targets[row]
        return torch.from_numpy(edges)

    def _cells(self, source: Ints, target: Ints) -> Ints:
        """Where edges are in the blocks, of those that are in one."""
        return np.concatenate(
            [
                np.empty(0, np.int64),
                *(
                    start + _cells_of_block((source, target), sources, targets)
                    for (sources, targets), start in zip(
                        self._blocks, self._starts[:-1], strict=True
                    )
                ),
            ]
        )


def _cells_of_block(edges: Edges, sources: Ints, targets: Ints) -> Ints:
    if not sources.size or not targets.size:
        return np.empty(0, np.int64)
    column, row = (
        np.searchsorted(units, ends).clip(max=units.size - 1)
        for units, ends in zip((sources, targets), edges, strict=True)
    )
    is_in = (sources[column] == edges[0]) & (targets[row] == edges[1])
    cells: Ints = row[is_in] * sources.size + column[is_in]
    return cells
