from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules._numba import is_usable
from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.csr import csr_index
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.numba.threads import can_use_threads, numba_with_threads
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.residual import relative
from pyg_modules.ops.tracing import is_tracing

# Chunks of rows that a thread takes: more would even out better, fewer cost less.
_CHUNKS_PER_THREAD = 4
_PRODUCTS_WORTH_THREADS = 2**17


class NumbaOperator(EdgeOperator):
    """CSR loops compiled by numba: O(e) memory, float32 and float64, CPU.

    The activation is computed while a row is in the cache, and one pass over the edges gives the
    gradients of states and weights. Results do not depend on the number of threads.
    """

    name = "numba"
    devices = ("cpu",)

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__(index, sizes)
        self._chunks: dict[tuple[int, bool], Ints] = {}

    @classmethod
    def build(cls, edges: EdgeSet) -> NumbaOperator:
        """See :meth:`EdgeOperator.build`."""
        return cls(csr_index(edges), (edges.num_targets, edges.num_sources))

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`EdgeOperator.missing`."""
        return _missing()

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        return weight.contiguous()

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return weight.index_select(0, self.index[4])

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        arrays = [*self._ids(), *_arrays(values, state, out[:0], out[:0])]
        starts = self._starts(False, out.size(1))
        _kernels().update(*arrays, 0, 0, out.detach().numpy(), starts)

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        arrays = [*self._ids(transposed=True), *_arrays(values, grad, out[:0], out[:0])]
        starts = self._starts(True, out.size(1))
        _kernels().update(*arrays, 0, 0, out.detach().numpy(), starts)

    def matmul_from_rows(
        self, values: Tensor, state: Tensor, out: Tensor, *, transposed: bool = False
    ) -> None:
        """See :meth:`EdgeOperator.matmul_from_rows`."""
        arrays = [*self._ids(transposed), *_arrays(values, state, out[:0])]
        self._use_threads(state.size(0))
        _kernels().from_rows(*arrays, 0, 0, *_arrays(out))

    def update_from_rows(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update_from_rows`."""
        kernels, code = _kernels(), f.activation.code
        is_fused = code in kernels.CODES
        arrays = [*self._ids(), *_arrays(values, state, injected)]
        self._use_threads(state.size(0))
        kernels.from_rows(*arrays, code if is_fused else 0, f.num_rows, *_arrays(out))
        return out if is_fused else f.apply_(out)

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        return torch.zeros_like(weight)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        arrays = [*self._ids(transposed=True), *_arrays(grad, state, gradient)]
        _kernels().sample(*arrays, self._starts(True, state.size(1)))

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient.index_select(0, self.index[5])

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        kernels, code = _kernels(), f.activation.code
        is_fused = code in kernels.CODES
        arrays = [*self._ids(), *_arrays(values, state, injected, out[:0], out)]
        starts = self._starts(False, out.size(1))
        kernels.update(*arrays[:-1], code if is_fused else 0, f.num_rows, arrays[-1], starts)
        return out if is_fused else f.apply_(out)

    def start(self, injected: Tensor, f: RowActivation, out: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.start`."""
        kernels, code = _kernels(), f.activation.code
        if code not in kernels.CODES:
            return super().start(injected, f, out)
        kernels.start(*_arrays(injected), code, f.num_rows, *_arrays(out))
        return out

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
        kernels, code = _kernels(), f.activation.code
        starts = self._starts(True, out.size(1))
        arrays = [*self._ids(transposed=True), *_arrays(values, grad)]
        if code in kernels.CODES and gradient is None and total is None:
            around = _arrays(out[:0] if add is None else add, saved)
            kernels.update(*arrays, *around, -code, f.num_rows, *_arrays(out), starts)
        elif code in kernels.CODES and gradient is not None and total is not None and add is None:
            outs = _arrays(gradient, total, out)
            kernels.adjoint(*arrays, *_arrays(saved), -code, f.num_rows, *outs, starts)
        else:
            super().adjoint(values, grad, saved, f, out, gradient=gradient, total=total, add=add)

    def residual(self, following: Tensor, state: Tensor, *, transposed: bool = False) -> Tensor:
        """See :meth:`EdgeOperator.residual`: one pass over both, in double precision."""
        is_plain = all(
            one.is_contiguous() and one.dtype in self.dtypes and not one.requires_grad
            for one in (following, state)
        )
        if not is_plain or is_tracing():
            return super().residual(following, state, transposed=transposed)
        batch = state.size(1)
        sums = np.zeros((2, batch))
        starts = np.linspace(0, batch, self._use_threads(batch) + 1).astype(np.int64)
        _kernels().squares(*_arrays(following, state), sums, starts)
        return relative(*torch.from_numpy(sums).sqrt()).to(state.dtype)

    def _ids(self, transposed: bool = False) -> Iterator[Ints]:
        """Offsets and columns of the matrix, or of its transpose.

        Compiled loops look whether an id with a sign counts from the end, which takes up to three
        quarters of the time of a sum.
        """
        first = 2 if transposed else 0
        for ids in _arrays(*self.index[first : first + 2]):
            yield ids.view(np.uint32) if ids.dtype == np.int32 else ids

    def _use_threads(self, batch: int) -> int:
        """Set the number of threads of numba, and return it.

        That of torch, or one where starting them would take longer than the work.
        """
        num_threads = 1
        if can_use_threads():
            numba = numba_with_threads()
            if self.index[1].numel() * batch >= _PRODUCTS_WORTH_THREADS:
                num_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
            numba.set_num_threads(num_threads)
        return num_threads

    def _starts(self, transposed: bool, batch: int) -> Ints:
        """The first row of every chunk, so that all have about as many edges and rows."""
        num_threads = self._use_threads(batch)
        key = (num_threads, transposed)
        if key not in self._chunks:
            offsets = self.index[2 if transposed else 0].numpy()
            work = offsets + np.arange(offsets.size)
            num_chunks = num_threads * _CHUNKS_PER_THREAD if num_threads > 1 else 1
            bounds = np.linspace(0, work[-1], num_chunks + 1)
            self._chunks[key] = np.searchsorted(work, bounds)
        return self._chunks[key]


@cache
def _missing() -> str | None:
    return None if is_usable() else "numba"


def _kernels() -> Any:
    kernels = _compiled()
    return kernels if can_use_threads() else kernels.SERIAL


@cache
def _compiled() -> Any:
    from pyg_modules.ops.numba import kernels

    return kernels


def _arrays(*tensors: Tensor) -> list[npt.NDArray[Any]]:
    return [tensor.detach().numpy() for tensor in tensors]
