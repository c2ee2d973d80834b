"""Partitions of a lower normalized cut."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyg_modules.partition.search import PartitionSearch
from pyg_modules.partition.size_bounds import SizeBounds
from pyg_modules.partition.spectral_clustering import spectral_labels

_NUM_RANDOM_STARTS = 2


def repair(
    affinity: csr_array[Any], labels: NDArray[numpy.int64], bounds: SizeBounds
) -> PartitionSearch:
    """The search after it brought sizes within their bounds, at least cost.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules.
    """
    # The search takes volumes near 0 for rounding, so it wants a known scale.
    scale = affinity.sum() / affinity.shape[0]
    search = PartitionSearch(affinity / scale if scale > 0 else affinity, labels, bounds)
    search.repair()
    return search


def refine(
    affinity: csr_array[Any], labels: NDArray[numpy.int64], bounds: SizeBounds, *, seed: int
) -> PartitionSearch:
    """The search after it brought sizes within their bounds, climbed and roamed from ``labels`` on.

    From `A Linear-Time Heuristic for Improving Network Partitions
    <https://doi.org/10.1109/DAC.1982.1585498>`_ and `Tabu Search
    <https://doi.org/10.1287/ijoc.1.3.190>`_.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of how long a unit that moved rests.
    """
    search = repair(affinity, labels, bounds)
    search.climb()
    search.roam(numpy.random.default_rng(seed))
    return search


def refined_labels(
    affinity: csr_array[Any], bounds: SizeBounds, *, seed: int
) -> NDArray[numpy.int64]:
    """Labels of the best of the partitions refined from spectral and from random ones.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of everything random.
    """
    num_units = affinity.shape[0]
    generator = numpy.random.default_rng(seed)
    starts = [
        spectral_labels(affinity, bounds, seed=seed, assign=assign)
        for assign in ("cluster_qr", "kmeans")
    ]
    # Sizes in proportion to those that are wanted.
    share = numpy.cumsum(bounds.largest) / bounds.largest.sum()
    filled = numpy.searchsorted(share, (numpy.arange(num_units) + 0.5) / num_units)
    starts += [generator.permutation(filled) for _ in range(_NUM_RANDOM_STARTS)]
    searches = [refine(affinity, start, bounds, seed=seed + 1) for start in starts]
    return min(searches, key=lambda search: search.normalized_cut).labels
