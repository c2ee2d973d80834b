from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.csr import compress
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.tracing import is_tracing
from pyg_modules.ops.work import Work


class ScatterOperator(EdgeOperator):
    """Gather, multiply and sum, as in PyG's message passing: O(e * B) memory, any dtype.

    The sums are those of ``torch_scatter.segment_csr`` where torch-scatter is installed.
    """

    name = "scatter"
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    devices = ("cpu", "cuda", "mps", "xpu", "meta")
    has_second_derivatives = True
    works_everywhere = True

    @classmethod
    def build(cls, edges: EdgeSet) -> ScatterOperator:
        """See :meth:`EdgeOperator.build`."""
        offsets = compress(edges.target, edges.num_targets)
        index = (edges.source, edges.target, offsets)
        return cls(index, (edges.num_targets, edges.num_sources))

    @classmethod
    def held(cls, work: Work) -> int:
        """See :meth:`EdgeOperator.held`: a message per edge and sample."""
        return work.cells * work.batch

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        source, column = self.index[0], weight.unsqueeze(-1)
        return lambda state: self._sum(column * state.index_select(0, source))

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        return weight.unsqueeze(-1)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return weight.unsqueeze(-1)

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        out.copy_(self._sum(values * state.index_select(0, self.index[0])))

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        self.matmul(values, state, out)
        return f.apply_(out.add_(injected))

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        source, target, _ = self.index
        messages = _wide(values * grad.index_select(0, target))
        out.copy_(scatter(messages, source, dim=0, dim_size=self.num_sources, reduce="sum"))

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return torch.zeros_like(weight)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        source, target, _ = self.index
        gradient += (grad.index_select(0, target) * state.index_select(0, source)).sum(dim=1)

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient

    def _sum(self, messages: Tensor) -> Tensor:
        _, target, offsets = self.index
        dtype, messages = messages.dtype, _wide(messages)
        has_segments = torch_geometric.typing.WITH_TORCH_SCATTER and not is_tracing()
        if has_segments and messages.device.type in ("cpu", "cuda"):
            segments: Tensor = _SegmentSum.apply(  # type: ignore[no-untyped-call]
                messages, target, offsets
            )
            return segments.to(dtype)
        sums: Tensor = scatter(messages, target, dim=0, dim_size=self.num_targets, reduce="sum")
        return sums.to(dtype)


def _wide(messages: Tensor) -> Tensor:
    """In single precision at least: in half, a sum of many soon grows no more."""
    return messages.to(torch.promote_types(messages.dtype, torch.float32))


class _SegmentSum(torch.autograd.Function):
    """``torch_scatter.segment_csr``, whose own second derivatives are wrong without a word."""

    @staticmethod
    def forward(ctx: Any, messages: Tensor, target: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(target)
        sums: Tensor = torch_geometric.typing.torch_scatter.segment_csr(messages, offsets)
        return sums

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None
