from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.few_columns import multiply_transposed
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.work import Work


class DenseOperator(EdgeOperator):
    """A dense matrix, zero where there is no edge: O(targets * sources) time and memory."""

    name = "dense"
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    devices = ("cpu", "cuda", "mps", "xpu", "meta")

    @classmethod
    def build(cls, edges: EdgeSet) -> DenseOperator:
        """See :meth:`EdgeOperator.build`."""
        position = edges.target * edges.num_sources + edges.source
        return cls((position,), (edges.num_targets, edges.num_sources))

    @classmethod
    def work(cls, edges: EdgeSet, batch: int) -> Work:
        """See :meth:`EdgeOperator.work`."""
        return Work(edges.num_targets * edges.num_sources, edges.num_targets, batch)

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        matrix = self.prepare(weight)
        return lambda state: matrix @ state

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        num_cells = self.num_targets * self.num_sources
        if weight.numel() != num_cells:
            # Edges are sorted by target and source: all of them are the matrix.
            weight = weight.new_zeros(num_cells).scatter(0, self.index[0], weight)
        return weight.view(self.num_targets, self.num_sources)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return self.prepare(weight).t()

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        torch.mm(values, state, out=out)

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        return f.apply_(torch.addmm(injected, values, state, out=out))

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        multiply_transposed(values, grad, out)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return weight.new_zeros(self.num_targets, self.num_sources)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        gradient.addmm_(grad, state.t())

    def add_adjoint(
        self, values: Tensor, grad: Tensor, state: Tensor, gradient: Tensor, out: Tensor
    ) -> None:
        """See :meth:`EdgeOperator.add_adjoint`."""
        self.accumulate(gradient, grad, state)
        multiply_transposed(values, grad, out, adds=True)

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        cells = gradient.view(-1)
        position = self.index[0]
        return cells if position.numel() == cells.numel() else cells.index_select(0, position)
