from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.few_columns import multiply_transposed
from pyg_modules.ops.operator import EdgeOperator, Piece
from pyg_modules.ops.work import Work


class BlockOperator(EdgeOperator):
    """Dense matrices, one per independent set of units, multiplied in batches of equal size.

    Sets without a path between them are found as the weakly connected components of the edges.
    :attr:`EdgeSet.packing` says which of them share a batch, padded to the largest of it.
    """

    name = "block"
    dtypes: ClassVar[tuple[torch.dtype, ...]] = DenseOperator.dtypes
    permutes_units = True
    companion: ClassVar[type[EdgeOperator] | None] = DenseOperator

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__(index, sizes)
        _, _, self._is_ordered, self._is_full, *batches = self.sizes
        self._batches = list(zip(batches[::2], batches[1::2], strict=True))
        self._num_rows = [count * width for count, width in self._batches]
        self._num_cells = [count * width**2 for count, width in self._batches]

    @classmethod
    def build(cls, edges: EdgeSet) -> BlockOperator:
        """See :meth:`EdgeOperator.build`.

        Raises:
            ValueError: If sources and targets are not the same units.
        """
        if edges.num_sources != edges.num_targets:
            raise ValueError(
                f"Expected edges among one set of units for backend 'block' (got"
                f" {edges.num_sources} sources and {edges.num_targets} targets)."
                " Use backend='auto'."
            )
        packing = edges.packing
        row, first_cell, column = map(torch.from_numpy, packing[:3])
        position = first_cell[edges.target] + column[edges.source]
        is_ordered = torch.equal(row, torch.arange(packing.num_rows, device="cpu"))
        # Blocks that are complete, one after the other, are the matrices.
        is_full = torch.equal(position, torch.arange(packing.num_cells, device="cpu"))
        batches = [size for batch in packing.batches for size in batch]
        sizes = (edges.num_targets, edges.num_sources, int(is_ordered), int(is_full), *batches)
        return cls((row, position), sizes)

    @classmethod
    def work(cls, edges: EdgeSet, batch: int) -> Work | None:
        """See :meth:`EdgeOperator.work`; one matrix alone is another backend's."""
        packing = edges.packing
        if packing.num_matrices < 2:
            return None
        return Work(packing.num_cells, edges.num_targets, batch)

    @property
    def num_rows(self) -> int:
        """See :attr:`EdgeOperator.num_rows`."""
        return sum(self._num_rows)

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

    def pieces(self, f: RowActivation) -> list[Piece]:
        """See :meth:`EdgeOperator.pieces`; one per batch."""
        if len(self._batches) < 2:
            return super().pieces(f)
        pieces: list[Piece] = []
        first_row = first_cell = 0
        for (count, width), num_rows, num_cells in zip(
            self._batches, self._num_rows, self._num_cells, strict=True
        ):
            # In their own layout its rows are in order, and its matrices full.
            operator = type(self)(self.index, (num_rows, num_rows, 1, 1, count, width))
            ranges = (first_row, num_rows), (first_cell, num_cells)
            pieces.append(Piece(operator, f._replace(num_rows=num_rows), *ranges))
            first_row, first_cell = first_row + num_rows, first_cell + num_cells
        return pieces

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        values = self.prepare(weight)

        def weighted_sum(state: Tensor) -> Tensor:
            products = [
                (matrices @ states).flatten(0, -2)
                for matrices, states in zip(
                    self._matrices(values), self._states(self.enter(state)), strict=True
                )
            ]
            return self.leave(torch.cat(products) if products else state)

        return weighted_sum

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        if self._is_full:
            return weight
        return weight.new_zeros(sum(self._num_cells)).scatter(0, self.index[1], weight)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return self.prepare(weight)

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        for matrices, states, outs in zip(
            self._matrices(values), self._states(state), self._states(out), strict=True
        ):
            torch.matmul(matrices, states, out=outs)

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        for matrices, states, adds, outs in zip(
            self._matrices(values),
            self._states(state),
            self._states(injected),
            self._states(out),
            strict=True,
        ):
            product = torch.addmm if matrices.dim() == 2 else torch.baddbmm
            product(adds, matrices, states, out=outs)
        return f.apply_(out)

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        for matrices, grads, outs in zip(
            self._matrices(values), self._states(grad), self._states(out), strict=True
        ):
            multiply_transposed(matrices.mT, grads, outs)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return weight.new_zeros(sum(self._num_cells))

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        for gradients, grads, states in zip(
            self._matrices(gradient), self._states(grad), self._states(state), strict=True
        ):
            if gradients.dim() == 2:
                gradients.addmm_(grads, states.mT)
            else:
                gradients.baddbmm_(grads, states.mT)

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient if self._is_full else gradient.index_select(0, self.index[1])

    def _matrices(self, values: Tensor) -> Iterator[Tensor]:
        """Views [count, width, width] of ``values`` [num_cells], by batch; of one [width, width].

        A product of two matrices runs on all threads, a batch of one on a single thread.
        """
        cells = values.split_with_sizes(self._num_cells)
        for (count, width), matrices in zip(self._batches, cells, strict=True):
            yield matrices.view((count, width, width) if count > 1 else (width, width))

    def _states(self, state: Tensor) -> Iterator[Tensor]:
        """Views [count, width, B] of ``state`` [num_rows, B], by batch; of one [width, B]."""
        parts = state.split_with_sizes(self._num_rows)
        for (count, width), rows in zip(self._batches, parts, strict=True):
            yield rows.view(count, width, state.size(1)) if count > 1 else rows
