"""Sizes of the tiles of kernels, functions of the problem alone: the same bits every time."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

# Numbers of a tile that one warp holds in registers, and the samples that are read at once: a full
# line of the cache for each thread of a warp.
_NUMBERS, _SAMPLES = 1024, 128
# With fewer programs than these, a device of a hundred multiprocessors is not filled.
_PROGRAMS = 2048


class Tiling(NamedTuple):
    """Samples and edges of a tile, and the warps that share it."""

    block: int
    chunk: int
    num_warps: int


def tiling(num_segments: int, num_edges: int, batch: int) -> Tiling:
    """That of a program with a segment of a sparse matrix.

    Args:
        num_segments (int): Number of segments.
        num_edges (int): Number of edges of all of them.
        batch (int): Number of samples.
    """
    degree = -(-num_edges // max(1, num_segments))
    return _tiling(_class(num_segments), _class(degree), _class(batch))


@cache
def _tiling(num_segments: int, degree: int, batch: int) -> Tiling:
    block = min(batch, _SAMPLES)
    while block > 32 and num_segments * (batch // block) < _PROGRAMS:
        block //= 2
    chunk = min(max(_NUMBERS // block, 8), max(degree, 4), 64)
    return Tiling(block, chunk, 1)


def _class(size: int) -> int:
    """The next power of two."""
    return 1 << max(0, size - 1).bit_length()
