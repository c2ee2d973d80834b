"""What compiled loops want: the module they are in, one type of everything, parts of the work."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Ints

# A loop reads about this many numbers, some tenths of a second, before an interrupt of the user is
# seen; as arrays they are fewer, for the memory.
_CHUNK, _CHUNK_OF_ARRAYS = 2 * 10**7, 10**6


@cache
def kernels() -> ModuleType:
    """The module of the loops; numba takes half a second to import."""
    from pyg_modules.partition.search import move_kernels

    return move_kernels


def is_compiled() -> bool:
    """Whether numba compiles the loops."""
    return bool(kernels().IS_COMPILED)


def chunk() -> int:
    """How many numbers a loop reads in one call."""
    return _CHUNK if is_compiled() else _CHUNK_OF_ARRAYS


def parts(lengths: Ints) -> list[slice]:
    """Parts of a work whose pieces read so many numbers each, ``[n]``; one at least."""
    part = numpy.cumsum(lengths) // chunk()
    ends = [*(numpy.flatnonzero(numpy.diff(part)) + 1).tolist(), len(lengths)]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def graph_of(affinity: csr_array[Any], count: Ints, classes: Ints) -> Any:
    """The graph as the loops want it, so that each is compiled once."""
    return kernels().Graph(
        affinity.indptr.astype(numpy.int64, copy=False),
        affinity.indices.astype(numpy.int32, copy=False),
        affinity.data.astype(numpy.float64, copy=False),
        numpy.asarray(affinity.sum(axis=1), dtype=numpy.float64).ravel(),
        affinity.diagonal().astype(numpy.float64, copy=False),
        count.astype(numpy.int64, copy=False),
        classes.astype(numpy.int64, copy=False),
    )
