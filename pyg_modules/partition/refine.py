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


def numbered_by_size(labels: NDArray[numpy.int64], bounds: SizeBounds) -> NDArray[numpy.int64]:
    """The same clusters, numbered so that a larger one gets a larger module.

    Args:
        labels (numpy.ndarray): Cluster of every unit, ``[n]``, of K clusters; some may be empty.
        bounds (SizeBounds): Sizes of the modules.
    """
    if (bounds.largest == bounds.largest[0]).all():
        return labels
    sizes = numpy.bincount(labels, minlength=len(bounds.largest))
    number = numpy.empty_like(sizes)
    number[numpy.argsort(sizes, kind="stable")] = numpy.argsort(bounds.largest, kind="stable")
    renumbered: NDArray[numpy.int64] = number[labels]
    return renumbered


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


def refine_from_many(affinity: csr_array[Any], bounds: SizeBounds, *, seed: int) -> PartitionSearch:
    """The best of the partitions refined from spectral and from random ones.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of everything random.
    """
    num_units, num_modules = affinity.shape[0], len(bounds.smallest)
    generator = numpy.random.default_rng(seed)
    starts = [
        numbered_by_size(spectral_labels(affinity, num_modules, seed=seed, assign=assign), bounds)
        for assign in ("cluster_qr", "kmeans")
    ]
    # Sizes in proportion to those that are wanted.
    share = numpy.cumsum(bounds.largest) / bounds.largest.sum()
    filled = numpy.searchsorted(share, (numpy.arange(num_units) + 0.5) / num_units)
    starts += [generator.permutation(filled) for _ in range(_NUM_RANDOM_STARTS)]
    searches = [refine(affinity, start, bounds, seed=seed + 1) for start in starts]
    return min(searches, key=lambda search: search.normalized_cut)
