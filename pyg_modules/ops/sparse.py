from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.edge_block import EdgeBlock
from pyg_modules.ops.operator import EdgeOperator


class CSRPattern:
    """Where the nonzeros of a sparse matrix [num_rows, num_cols] are, row by row.

    Args:
        row (LongTensor): Row of every nonzero, ``[e]``.
        col (LongTensor): Column of every nonzero, ``[e]``.
        num_rows (int): Number of rows.
        num_cols (int): Number of columns.
    """

    def __init__(self, row: Tensor, col: Tensor, num_rows: int, num_cols: int) -> None:
        #: Position in ``row`` and ``col`` of the nonzeros in CSR order, ``[e]``.
        self.order = torch.argsort(row * num_cols + col)
        self.size = (num_rows, num_cols)
        offsets = torch.zeros(num_rows + 1, dtype=torch.long, device=row.device)
        torch.cumsum(torch.bincount(row, minlength=num_rows), 0, out=offsets[1:])
        # 32-bit indices halve the traffic of the kernels, which convert 64-bit ones at every call.
        index_dtype = torch.int32 if row.numel() < 2**31 else torch.int64
        self.offsets = offsets.to(index_dtype)
        self.col = col[self.order].to(index_dtype)

    def matrix(self, values: Tensor) -> Tensor:
        """The sparse CSR tensor with ``values`` [e], in CSR order, at the nonzeros."""
        return torch.sparse_csr_tensor(
            self.offsets, self.col, values, self.size, check_invariants=False
        )


class SparseOperator(EdgeOperator):
    """``torch.sparse`` CSR with its own autograd function: O(e) memory, float32 and float64."""

    def __init__(self, block: EdgeBlock) -> None:
        super().__init__(block)
        sizes = block.num_targets, block.num_sources
        self._pattern = CSRPattern(block.target, block.source, *sizes)
        self._transposed = CSRPattern(block.source, block.target, *reversed(sizes))
        self._edge_ids = block.edge_ids[self._pattern.order]
        self._transposed_edge_ids = block.edge_ids[self._transposed.order]

    def bind(self, edge_weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.bind`."""
        values = edge_weight.index_select(0, self._edge_ids)
        transposed_values = edge_weight.detach().index_select(0, self._transposed_edge_ids)

        def weighted_sum(state: Tensor) -> Tensor:
            result: Tensor = _CSRMatmul.apply(  # type: ignore[no-untyped-call]
                values, transposed_values, state, self._pattern, self._transposed
            )
            return result

        return weighted_sum


class _CSRMatmul(torch.autograd.Function):
    """``W h`` for sparse W; the gradient of the values is sampled at the nonzeros of W only."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        transposed_values: Tensor,
        state: Tensor,
        pattern: CSRPattern,
        transposed: CSRPattern,
    ) -> Tensor:
        ctx.save_for_backward(transposed_values, state)
        ctx.pattern, ctx.transposed = pattern, transposed
        return pattern.matrix(values) @ state.contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # That is, with create_graph=True.
            raise RuntimeError(
                "Expected a first derivative (got create_graph=True): the backend 'sparse' has no"
                " second derivatives. Use backend='scatter'."
            )
        transposed_values, state = ctx.saved_tensors
        grad = grad.contiguous()
        grad_values = grad_state = None
        if ctx.needs_input_grad[0]:
            nothing = ctx.pattern.matrix(torch.zeros_like(transposed_values))
            sampled = torch.sparse.sampled_addmm(nothing, grad, state.t(), beta=0.0)
            grad_values = sampled.values()
        if ctx.needs_input_grad[2]:
            grad_state = ctx.transposed.matrix(transposed_values) @ grad
        return grad_values, None, grad_state, None, None


def _spend_beta_warning() -> None:
    # torch warns once per process that CSR is in beta; users of this package need not hear it.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        index = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(index, index[:0], torch.zeros(0), (0, 0), check_invariants=False)


_spend_beta_warning()
