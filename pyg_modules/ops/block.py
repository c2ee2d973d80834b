from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyg_modules.ops.edge_block import EdgeBlock
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.tracing import is_tracing


class BlockOperator(EdgeOperator):
    """Dense matrices of equal size, one per independent set of units, multiplied as a batch.

    Sets without a path between them are found as the weakly connected components of the edges.
    Each matrix is as large as the largest of them; smaller ones share a matrix as long as they fit
    beside each other, and what is left is padding.
    """

    name = "block"
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__(index, sizes)
        self._num_blocks, self._width, self._is_ordered, self._is_full = self.sizes[2:]

    @classmethod
    def build(cls, block: EdgeBlock) -> BlockOperator:
        """See :meth:`EdgeOperator.build`.

        Raises:
            ValueError: If sources and targets are not the same units.
        """
        if block.num_sources != block.num_targets:
            raise ValueError(
                f"Expected edges among one set of units for backend 'block' (got"
                f" {block.num_sources} sources and {block.num_targets} targets)."
            )
        slots, num_blocks, width = _pack(block.components)
        slot = torch.from_numpy(slots)
        position = slot[block.target] * width + slot[block.source] % max(width, 1)
        is_ordered = np.array_equal(slots, np.arange(num_blocks * width))
        # Blocks that are complete, one after the other, are the matrices.
        is_full = np.array_equal(position, np.arange(num_blocks * width**2))
        sizes = (
            block.num_targets,
            block.num_sources,
            num_blocks,
            width,
            int(is_ordered),
            int(is_full),
        )
        return cls((slot, position), sizes)

    @staticmethod
    def shape(block: EdgeBlock) -> tuple[int, int]:
        """Number of matrices for ``block``, and their width."""
        return _pack(block.components)[1:]

    @property
    def num_rows(self) -> int:
        """See :attr:`EdgeOperator.num_rows`."""
        return self._num_blocks * self._width

    @property
    def num_columns(self) -> int:
        """See :attr:`EdgeOperator.num_columns`."""
        return self.num_rows

    def enter(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.enter`."""
        if self._is_ordered:
            return state.contiguous()
        return state.new_zeros(self.num_rows, state.size(1)).index_copy(0, self.index[0], state)

    def leave(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.leave`."""
        return state if self._is_ordered else state.index_select(0, self.index[0])

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        matrices = self.prepare(weight)
        return lambda state: self.leave((matrices @ self._split(self.enter(state))).flatten(0, 1))

    def is_composed(self) -> bool:
        """See :meth:`EdgeOperator.is_composed`."""
        return is_tracing()

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        num_cells = self.num_rows * self._width
        if not self._is_full:
            weight = weight.new_zeros(num_cells).index_copy(0, self.index[1], weight)
        return weight.view(self._num_blocks, self._width, self._width)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return self.prepare(weight).mT

    def matmul(self, values: Tensor, state: Tensor, add: Tensor | None, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        if add is None:
            torch.bmm(values, self._split(state), out=self._split(out))
        else:
            torch.baddbmm(self._split(add), values, self._split(state), out=self._split(out))

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        torch.bmm(values, self._split(grad), out=self._split(out))

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return weight.new_zeros(self._num_blocks, self._width, self._width)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        gradient.baddbmm_(self._split(grad), self._split(state).mT)

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        cells = gradient.view(-1)
        return cells if self._is_full else cells.index_select(0, self.index[1])

    def _split(self, state: Tensor) -> Tensor:
        """[num_blocks, width, B], a view of ``state`` [num_rows, B]."""
        return state.view(self._num_blocks, self._width, state.size(1))


def _pack(components: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int, int]:
    """Every component a stretch of slots inside one block: first fit, largest first.

    Returns:
        tuple: The slot of every unit, the number of blocks, and their width.
    """
    if not components.size:
        return np.empty(0, dtype=np.int64), 0, 0
    sizes = np.bincount(components)
    width = int(sizes.max())
    free: list[int] = []
    starts = np.empty(sizes.size, dtype=np.int64)
    # Stable, so that modules of equal size stay in the order of their units.
    for component in np.argsort(-sizes, kind="stable"):
        size = int(sizes[component])
        home = next((block for block, room in enumerate(free) if room >= size), len(free))
        if home == len(free):
            free.append(width)
        starts[component] = (home + 1) * width - free[home]
        free[home] -= size
    # Within its component, a unit keeps its rank.
    order = np.argsort(components, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(components.size, dtype=np.int64)
    rank[order] = np.arange(components.size) - np.repeat(first, sizes)
    return starts[components] + rank, len(free), width
