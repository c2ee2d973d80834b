from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.tracing import is_tracing


class DenseOperator(EdgeOperator):
    """A dense matrix, zero where there is no edge: O(targets * sources) time and memory."""

    name = "dense"
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    devices = ("cpu", "cuda", "mps", "xpu", "meta")

    @classmethod
    def build(cls, block: EdgeSet) -> DenseOperator:
        """See :meth:`EdgeOperator.build`."""
        position = block.target * block.num_sources + block.source
        return cls((position,), (block.num_targets, block.num_sources))

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        matrix = self.prepare(weight)
        return lambda state: matrix @ state

    def is_composed(self) -> bool:
        """See :meth:`EdgeOperator.is_composed`."""
        return is_tracing()

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        num_cells = self.num_targets * self.num_sources
        if weight.numel() != num_cells:
            # A block is sorted by target and source: with all edges, it is the matrix.
            weight = weight.new_zeros(num_cells).index_copy(0, self.index[0], weight)
        return weight.view(self.num_targets, self.num_sources)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return self.prepare(weight).t()

    def matmul(self, values: Tensor, state: Tensor, add: Tensor | None, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        if add is None:
            torch.mm(values, state, out=out)
        else:
            torch.addmm(add, values, state, out=out)

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        torch.mm(values, grad, out=out)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return weight.new_zeros(self.num_targets, self.num_sources)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        gradient.addmm_(grad, state.t())

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        cells = gradient.view(-1)
        position = self.index[0]
        return cells if position.numel() == cells.numel() else cells.index_select(0, position)
