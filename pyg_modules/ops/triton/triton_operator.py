from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.activation import LINEAR, RowActivation
from pyg_modules.ops.csr import csr_index
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.triton import support
from pyg_modules.ops.triton.segments import Segments
from pyg_modules.ops.triton.tiling import tiling

# Blocks of samples whose gradients of the weights are held beside each other.
_BLOCKS = 8


class TritonOperator(EdgeOperator):
    """CSR kernels in Triton: O(e) memory, CUDA, float32, bfloat16 and float16.

    One launch per update computes the activation with the sums, and one backwards the gradients of
    states and weights from the same reads. Sums are in float32, in an order of their own: results
    are the same to the bit every time.
    """

    name = "triton"
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    devices = ("cuda",)

    @classmethod
    def build(cls, edges: EdgeSet) -> TritonOperator:
        """See :meth:`EdgeOperator.build`."""
        offsets, column, transposed_offsets, transposed_column, order, inverse = csr_index(edges)
        rows, columns = Segments.of(offsets), Segments.of(transposed_offsets)
        index = (
            *(rows.table, rows.long_rows, column),
            *(columns.table, columns.long_rows, transposed_column),
            *(order, inverse),
        )
        sizes = (edges.num_targets, edges.num_sources, rows.num_slots, columns.num_slots)
        return cls(index, sizes)

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`EdgeOperator.missing`."""
        return support.missing()

    @classmethod
    def obstacle(cls, device: torch.device, dtype: torch.dtype) -> str | None:
        """See :meth:`EdgeOperator.obstacle`."""
        if dtype not in cls.dtypes:
            return super().obstacle(device, dtype)
        return support.obstacle(device)

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        return weight.contiguous()

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return weight.index_select(0, self.index[6])

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        self._gather(False, values, state, LINEAR, out)

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        self._gather(True, values, grad, LINEAR, out)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return torch.zeros_like(weight, dtype=torch.float32)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        table, _, column = self.index[3:6]
        batch = state.size(1)
        block, chunk, num_warps = tiling(table.size(0), column.numel(), batch)
        with support.on(state.device):
            _kernels().sample[(table.size(0),)](
                *(table, column, grad, state, gradient, batch),
                BLOCK=block,
                CHUNK=chunk,
                num_warps=num_warps,
            )

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient.index_select(0, self.index[7])

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        states = torch.empty_like(out) if f.activation.needs_sums else None
        self._gather(False, values, state, f, out, add=injected, second=states)
        return out if states is None else states

    def adjoint(
        self,
        values: Tensor,
        grad: Tensor,
        saved: Tensor,
        f: RowActivation,
        out: Tensor,
        *,
        gradient: Tensor | None = None,
        total: Tensor | None = None,
        add: Tensor | None = None,
    ) -> None:
        """See :meth:`EdgeOperator.adjoint`."""
        self._gather(
            True, values, grad, f, out, add=add, saved=saved, gradient=gradient, second=total
        )

    def _gather(
        self,
        transposed: bool,
        values: Tensor,
        state: Tensor,
        f: RowActivation,
        out: Tensor,
        *,
        add: Tensor | None = None,
        saved: Tensor | None = None,
        gradient: Tensor | None = None,
        second: Tensor | None = None,
    ) -> None:
        """Launch the kernels; what is ``None`` is neither read nor written."""
        table, long_rows, column = self.index[3:6] if transposed else self.index[:3]
        num_edges, batch = column.numel(), out.size(1)
        block, chunk, num_warps = tiling(table.size(0), num_edges, batch)
        num_blocks = -(-batch // block)
        partial = out.new_empty(self.sizes[3 if transposed else 2], batch, dtype=torch.float32)
        flags = {
            "CODE": f.activation.code if f.num_rows else 0,
            "IS_ADJOINT": saved is not None,
            "NEEDS_SUMS": f.activation.needs_sums,
            "HAS_ADD": add is not None,
            "HAS_SECOND": second is not None,
            "BLOCK": block,
            "CHUNK": chunk,
            "num_warps": num_warps,
        }
        # A kernel that does not use a pointer gets another one.
        ends = [out if tensor is None else tensor for tensor in (add, saved, out, second)]
        stride = num_blocks if gradient is None else _BLOCKS
        with support.on(out.device):
            for first in range(0, num_blocks, max(1, stride)):
                num_here = min(stride, num_blocks - first)
                into = gradient
                if gradient is not None and num_blocks > 1:
                    into = gradient.new_empty(num_here, num_edges)
                _kernels().gather[table.size(0), num_here](
                    *(table, column, values, state, *ends, out if into is None else into, partial),
                    *(batch, f.num_rows, first, num_edges),
                    HAS_GRADIENT=gradient is not None,
                    ADDS_GRADIENT=into is gradient,
                    **flags,
                )
                if gradient is not None and into is not None and into is not gradient:
                    gradient += into.sum(dim=0)
            if long_rows.size(0):
                _kernels().join[long_rows.size(0), num_blocks](
                    *(long_rows, partial, *ends, batch, f.num_rows), **flags
                )


@cache
def _kernels() -> Any:
    from pyg_modules.ops.triton import gather_kernels

    return gather_kernels
