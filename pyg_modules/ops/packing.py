from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyg_modules._arrays import Ints

# What a batch costs beside its products, in cells of a matrix: about 30 microseconds.
_CELLS_PER_BATCH = 5000


class Packing(NamedTuple):
    """Sets of units in matrices, and matrices of about the same size in batches.

    Args:
        row (numpy.ndarray): The row of every unit among those of all matrices, ``[n]``.
        first_cell (numpy.ndarray): Where the cells of its row of the matrix begin, ``[n]``.
        column (numpy.ndarray): Its column in the matrix, ``[n]``.
        batches (list): The number of matrices of every batch, and their width.
    """

    row: Ints
    first_cell: Ints
    column: Ints
    batches: list[tuple[int, int]]

    @classmethod
    def of(cls, components: Ints, cells_per_batch: float = _CELLS_PER_BATCH) -> Packing:
        """Batches that cost least in cells, each with its matrices as wide as its largest set.

        Smaller sets share a matrix as long as they fit beside each other.

        Args:
            components (numpy.ndarray): The set of every unit, ``[n]``, from 0.
            cells_per_batch (float, optional): What a batch costs beside its products; with infinity
                there is only one. (default: 5000)
        """
        sizes = np.bincount(components)
        slot, width, first_row, first_cell = (np.empty_like(sizes) for _ in range(4))
        batches: list[tuple[int, int]] = []
        for members in _batches(sizes, cells_per_batch):
            widest = int(sizes[members].max())
            first_row[members] = sum(count * wide for count, wide in batches)
            first_cell[members] = sum(count * wide**2 for count, wide in batches)
            slot[members], count = _first_fit(sizes[members], widest)
            width[members] = widest
            batches.append((count, widest))
        # Within its set, a unit keeps its rank.
        order = np.argsort(components, kind="stable")
        first = np.cumsum(sizes) - sizes
        rank = np.empty_like(components)
        rank[order] = np.arange(components.size) - np.repeat(first, sizes)
        # The row among those of the batch.
        local = slot[components] + rank
        return cls(
            first_row[components] + local,
            first_cell[components] + local * width[components],
            local % width[components],
            batches,
        )

    @property
    def num_rows(self) -> int:
        """Rows of all matrices."""
        return sum(count * width for count, width in self.batches)

    @property
    def num_cells(self) -> int:
        """Cells of all matrices."""
        return sum(count * width**2 for count, width in self.batches)

    @property
    def num_matrices(self) -> int:
        """Number of all matrices."""
        return sum(count for count, _ in self.batches)


def _batches(sizes: Ints, cells_per_batch: float) -> list[Ints]:
    """Which sets share a batch, the largest first: contiguous in size, at least cost in cells."""
    widths, counts = (array[::-1] for array in np.unique(sizes, return_counts=True))
    total = np.concatenate([[0], np.cumsum(counts)])
    cost = np.zeros(len(widths) + 1)
    begins = np.zeros(len(widths) + 1, dtype=np.int64)
    for end in range(1, len(widths) + 1):
        # The last batch has the sizes from begin to end, and is as wide as the first of them.
        batch = widths[:end] ** 2 * (total[end] - total[:end]) + cells_per_batch
        begins[end] = int((cost[:end] + batch).argmin())
        cost[end] = (cost[:end] + batch)[begins[end]]
    batches: list[Ints] = []
    end = len(widths)
    while end:
        begin = int(begins[end])
        inside = (sizes <= widths[begin]) & (sizes >= widths[end - 1])
        batches.insert(0, np.flatnonzero(inside))
        end = begin
    return batches


def _first_fit(sizes: Ints, width: int) -> tuple[Ints, int]:
    """The first row of every set among matrices of ``width``, and how many there are.

    The largest first; sets of equal size stay in order.
    """
    starts = np.empty_like(sizes)
    order = np.argsort(-sizes, kind="stable")
    # Where no two fit into one matrix.
    if 2 * sizes.min() > width:
        starts[order] = np.arange(sizes.size) * width
        return starts, sizes.size
    free: list[int] = []
    for index in order:
        size = int(sizes[index])
        home = next((matrix for matrix, room in enumerate(free) if room >= size), len(free))
        if home == len(free):
            free.append(width)
        starts[index] = (home + 1) * width - free[home]
        free[home] -= size
    return starts, len(free)
