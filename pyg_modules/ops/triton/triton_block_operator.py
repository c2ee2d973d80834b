from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.block import BlockOperator
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.tracing import is_transforming
from pyg_modules.ops.triton import support
from pyg_modules.ops.triton.triton_operator import TritonOperator
from pyg_modules.ops.work import Work

# A wider matrix, with the states of some samples, does not fit one multiprocessor; one of more than
# half the width only if it has as many bytes of shared memory.
_MAX_WIDTH, _BYTES_OF_MAX_WIDTH = 128, 224 * 1024
# Tensor cores multiply no smaller matrices.
_MIN_WIDTH = 16
# With fewer programs than these, a device of a hundred multiprocessors is not filled.
_PROGRAMS = 256


class TritonBlockOperator(BlockOperator):
    """The blocks of :class:`BlockOperator`, with all updates in one launch of Triton per direction.

    That is for blocks of up to 128 units: matrices and states stay on the chip. What does not fit,
    and an equilibrium, is computed as the base class does it. Products of float32 are as precise as
    in float32, or in TF32 where ``torch.backends.cuda.matmul`` allows that.
    """

    name = "triton_block"
    dtypes = TritonOperator.dtypes
    devices = TritonOperator.devices
    companion = TritonOperator

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`EdgeOperator.missing`."""
        return TritonOperator.missing()

    @classmethod
    def obstacle(cls, device: torch.device, dtype: torch.dtype) -> str | None:
        """See :meth:`EdgeOperator.obstacle`."""
        return TritonOperator.obstacle(device, dtype)

    @classmethod
    def work(cls, edges: EdgeSet, batch: int) -> Work | None:
        """See :meth:`EdgeOperator.work`."""
        packing = edges.packing
        if all(width > _MAX_WIDTH for _, width in packing.batches):
            return None
        return Work(packing.num_cells, edges.num_targets, batch)

    def is_composed(self) -> bool:
        """See :meth:`EdgeOperator.is_composed`; a compiler keeps the kernels."""
        return is_transforming()

    def unroll(
        self,
        values: Tensor,
        injected: Tensor,
        f: RowActivation,
        kept: Tensor,
        steps: int,
        stride: int,
    ) -> Tensor | None:
        """See :meth:`EdgeOperator.unroll`."""
        if not self._fits(f, injected.device):
            return None
        (count, width), batch = self._batches[0], injected.size(1)
        settings = _settings(width, batch, values)
        last = torch.empty_like(injected)
        with support.on(injected.device):
            _kernels().unroll[count, -(-batch // settings["BLOCK"])](
                *(values, injected, kept if stride else last, last),
                *(batch, width, steps, max(1, stride), kept.stride(0) if stride else 0),
                CODE=f.activation.code,
                NEEDS_SUMS=f.activation.needs_sums,
                KEEPS=stride > 0,
                **settings,
            )
        return last

    def unroll_backward(
        self, values: Tensor, kept: Tensor, f: RowActivation, gradient: Tensor, total: Tensor
    ) -> bool:
        """See :meth:`EdgeOperator.unroll_backward`."""
        if not self._fits(f, total.device):
            return False
        (count, width), batch = self._batches[0], total.size(1)
        settings = _settings(width, batch, values)
        # Gradients of the matrices are held beside each other for as many parts of the batch.
        num_parts = min(-(-batch // settings["BLOCK"]), max(1, _PROGRAMS // count))
        parts = gradient.new_empty(num_parts, gradient.numel(), dtype=torch.float32)
        with support.on(total.device):
            _kernels().unroll_backward[count, num_parts](
                *(values, kept[-1], total, parts),
                *(batch, width, kept.size(0), kept.stride(0), gradient.numel()),
                CODE=f.activation.code,
                NEEDS_SUMS=f.activation.needs_sums,
                **settings,
            )
        gradient += parts.sum(dim=0)
        return True

    def _fits(self, f: RowActivation, device: torch.device) -> bool:
        """Whether one launch computes it: matrices of one width, all rows activated."""
        is_one = len(self._batches) == 1 and self._batches[0][1] <= _max_width(device)
        return is_one and f.num_rows == self.num_rows


@cache
def _max_width(device: torch.device) -> int:
    if device.type != "cuda":
        return _MAX_WIDTH
    properties: Any = torch.cuda.get_device_properties(device)  # Stubs do not know all of them.
    num_bytes = properties.shared_memory_per_block_optin
    return _MAX_WIDTH if num_bytes >= _BYTES_OF_MAX_WIDTH else _MAX_WIDTH // 2


def _settings(width: int, batch: int, values: Tensor) -> dict[str, Any]:
    """The tile and the precision for matrices of ``width`` and ``batch`` samples."""
    size = max(_MIN_WIDTH, 1 << (width - 1).bit_length())
    block = 32 if size == _MAX_WIDTH or batch >= 512 else 16
    precision = "tf32x3"
    if values.device.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32":
        precision = "tf32"
    return {
        "SIZE": size,
        "BLOCK": block,
        "FACTOR": _kernels().FACTORS[torch.float32 if support.is_interpreted() else values.dtype],
        "PRECISION": precision,
        "num_warps": 8 if size == _MAX_WIDTH else 4,
    }


@cache
def _kernels() -> Any:
    from pyg_modules.ops.triton import block_kernels

    return block_kernels
