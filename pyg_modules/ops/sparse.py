from __future__ import annotations

import warnings
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.csr import csr_index
from pyg_modules.ops.determinism import alert_not_deterministic
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator


class SparseOperator(EdgeOperator):
    """``torch.sparse`` CSR matrices: O(e) memory, float32 and float64, CPU and CUDA."""

    name = "sparse"
    # The algorithms of cuSPARSE that torch takes promise no order of the summands.
    nondeterministic_devices = ("cuda",)

    @classmethod
    def build(cls, edges: EdgeSet) -> SparseOperator:
        """See :meth:`EdgeOperator.build`."""
        return cls(csr_index(edges), (edges.num_targets, edges.num_sources))

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        offsets, column = self.index[:2]
        return _csr(offsets, column, weight.contiguous(), self.num_targets, self.num_sources)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        offsets, column, order = self.index[2:5]
        values = weight.index_select(0, order)
        return _csr(offsets, column, values, self.num_sources, self.num_targets)

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        _alert(state)
        torch.mm(values, state, out=out)

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        _alert(state)
        return f.apply_(torch.addmm(injected, values, state, out=out))

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        _alert(grad)
        torch.mm(values, grad, out=out)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return self.prepare(torch.zeros_like(weight))

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        _alert(grad)
        if grad.device.type == "cpu" and (missing := -grad.size(1) % _numbers_at_once(grad.dtype)):
            # The rest of a vector is added up one by one: 7 columns in 13 times the time of 8.
            grad, state = (F.pad(one, (0, missing)) for one in (grad, state))
        torch.sparse.sampled_addmm(gradient, grad, state.t(), out=gradient)

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient.values()


@cache
def _numbers_at_once(dtype: torch.dtype) -> int:
    """How many numbers a vector instruction of this processor takes, as far as torch uses it."""
    num_bytes = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32
    return num_bytes // dtype.itemsize


def _alert(state: Tensor) -> None:
    if state.device.type in SparseOperator.nondeterministic_devices:
        alert_not_deterministic(
            f"The backend 'sparse' on {state.device.type}",
            "Use backend='auto', which takes another then.",
        )


def _csr(
    offsets: Tensor, column: Tensor, values: Tensor, num_rows: int, num_columns: int
) -> Tensor:
    size = (num_rows, num_columns)
    return torch.sparse_csr_tensor(
        offsets, column, values, size, device=values.device, check_invariants=False
    )


def _spend_warnings_of_csr() -> None:
    # torch warns once per process that CSR is in beta, and torch 2.11 that it is not checked; users
    # of this package need not hear it.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        index = torch.zeros(1, dtype=torch.int32, device="cpu")
        _csr(index, index[:0], torch.zeros(0, device="cpu"), 0, 0)


_spend_warnings_of_csr()
