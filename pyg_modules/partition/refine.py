"""Partitions of a lower normalized cut."""

from __future__ import annotations

import logging
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyg_modules.partition.coarsen import Level, coarsened
from pyg_modules.partition.search import PartitionSearch
from pyg_modules.partition.size_bounds import SizeBounds
from pyg_modules.partition.spectral_clustering import spectral_labels

Ints = NDArray[numpy.int64]

_log = logging.getLogger("pyg_modules")

_NUM_RANDOM_STARTS = 2
# A graph with no more units is searched as it is, by several long searches.
_SMALL = 1200
# The smallest graph has this many units per module, so that there is something to choose from.
_UNITS_PER_MODULE = 25
# A module of the smallest graph has this many groups at least.
_GROUPS_PER_MODULE = 8
# On the way, sizes may be out of their bounds by this share.
_SLACK = 0.03
_MAX_ROUNDS = 8
_MAX_CYCLES = 3
# A round that lowers the cut by less, relative to it, is the last one.
_LEAST_GAIN = 1e-4
_LEAST_GAIN_OF_CYCLE = 1e-3


def repair(affinity: csr_array[Any], labels: Ints, bounds: SizeBounds) -> PartitionSearch:
    """The search after it brought sizes within their bounds, at least cost.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules.
    """
    search = PartitionSearch(_scaled(affinity), labels, bounds)
    search.repair()
    return search


def refine(
    affinity: csr_array[Any], labels: Ints, bounds: SizeBounds, *, seed: int
) -> PartitionSearch:
    """The search after it brought sizes within their bounds and lowered the cut from there.

    Units move alone and in pairs. Small graphs are then roamed, and large ones searched again
    with groups of units in the place of units.

    From `A Linear-Time Heuristic for Improving Network Partitions
    <https://doi.org/10.1109/DAC.1982.1585498>`_ and `Tabu Search
    <https://doi.org/10.1287/ijoc.1.3.190>`_.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of how long a unit that moved rests, and of the groups.
    """
    generator = numpy.random.default_rng(seed)
    return _refined(_settled(_scaled(affinity), labels, bounds), bounds, generator)


def refined_labels(affinity: csr_array[Any], bounds: SizeBounds, *, seed: int) -> Ints:
    """Labels of the best of the partitions refined from spectral, random and coarse ones.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of everything random.
    """
    generator = numpy.random.default_rng(seed)
    affinity = _scaled(affinity)
    everyone = numpy.arange(affinity.shape[0])
    if len(everyone) <= _SMALL:
        level = Level(affinity, numpy.ones_like(everyone), everyone)
        return _best_of_starts(level, bounds, generator, seed).labels
    spectral = spectral_labels(affinity, bounds, seed=seed, power=0.5)
    _log.info("Spectral clustering of %d units is done.", len(everyone))
    starts = [spectral, _coarse_labels(affinity, bounds, generator, seed)]
    searches = [_settled(affinity, labels, bounds) for labels in starts]
    best = min(searches, key=_cut_of)
    return _refined(best, bounds, generator).labels


def _scaled(affinity: csr_array[Any]) -> csr_array[Any]:
    """With a mean degree of 1: the search takes volumes near 0 for rounding."""
    scale = affinity.sum() / affinity.shape[0]
    return affinity / scale if scale > 0 else affinity


def _settled(affinity: csr_array[Any], labels: Ints, bounds: SizeBounds) -> PartitionSearch:
    """The search within its bounds, after rounds of moves and exchanges."""
    search = PartitionSearch(affinity, labels, bounds)
    search.repair()
    for _ in range(_MAX_ROUNDS):
        before = search.normalized_cut
        search.climb()
        search.exchange()
        if search.normalized_cut >= before * (1 - _LEAST_GAIN):
            break
    return search


def _cut_of(search: PartitionSearch) -> float:
    return search.normalized_cut


def _refined(
    search: PartitionSearch, bounds: SizeBounds, generator: numpy.random.Generator
) -> PartitionSearch:
    """The search, roamed where the graph is small, else searched again on smaller graphs."""
    if len(search.labels) <= _SMALL:
        search.roam(generator)
        return search
    for _ in range(_MAX_CYCLES):
        levels = _levels(search.affinity, bounds, generator, search.labels)
        labels = search.labels.copy()
        for level in levels[1:]:
            labels_of_groups = numpy.empty(len(level.count), dtype=numpy.int64)
            labels_of_groups[level.group] = labels
            labels = labels_of_groups
        coarsest = PartitionSearch(levels[-1].affinity, labels, bounds, levels[-1].count)
        if len(labels) <= _SMALL:
            coarsest.roam(generator)
        found = _settled(search.affinity, _uncoarsened(levels, coarsest.labels, bounds), bounds)
        gain = search.normalized_cut - found.normalized_cut
        _log.info("A normalized cut of %g on %d levels.", found.normalized_cut, len(levels))
        if gain <= 0:
            break
        search = found
        if gain <= _LEAST_GAIN_OF_CYCLE * search.normalized_cut:
            break
    return search


def _levels(
    affinity: csr_array[Any],
    bounds: SizeBounds,
    generator: numpy.random.Generator,
    labels: Ints | None = None,
) -> list[Level]:
    num_units = _UNITS_PER_MODULE * len(bounds.largest)
    largest_group = max(1, int(bounds.largest.min()) // _GROUPS_PER_MODULE)
    return coarsened(affinity, min(num_units, _SMALL), largest_group, generator, labels)


def _uncoarsened(levels: list[Level], labels: Ints, bounds: SizeBounds) -> Ints:
    """Labels of the finest graph from those of the last one, improved on every level between."""
    loose = _loosened(bounds)
    for number in range(len(levels) - 1, 0, -1):
        search = PartitionSearch(levels[number].affinity, labels, loose, levels[number].count)
        search.climb()
        labels = search.labels[levels[number].group]
    return labels


def _loosened(bounds: SizeBounds) -> SizeBounds:
    slack = numpy.ceil(_SLACK * bounds.largest).astype(numpy.int64)
    return SizeBounds((bounds.smallest - slack).clip(min=1), bounds.largest + slack)


def _coarse_labels(
    affinity: csr_array[Any], bounds: SizeBounds, generator: numpy.random.Generator, seed: int
) -> Ints:
    levels = _levels(affinity, bounds, generator)
    best = _best_of_starts(levels[-1], _loosened(bounds), generator, seed)
    return _uncoarsened(levels, best.labels, bounds)


def _best_of_starts(
    level: Level, bounds: SizeBounds, generator: numpy.random.Generator, seed: int
) -> PartitionSearch:
    """The best of the searches from spectral and from random labels."""
    starts = [
        spectral_labels(level.affinity, bounds, seed=seed, assign=assign)
        for assign in ("cluster_qr", "kmeans")
    ]
    num_units = len(level.count)
    # Sizes in proportion to those that are wanted.
    share = numpy.cumsum(bounds.largest) / bounds.largest.sum()
    filled = numpy.searchsorted(share, (numpy.arange(num_units) + 0.5) / num_units)
    starts += [generator.permutation(filled) for _ in range(_NUM_RANDOM_STARTS)]
    searches = []
    for start in starts:
        search = PartitionSearch(level.affinity, start, bounds, level.count)
        search.repair()
        search.climb()
        search.roam(generator)
        searches.append(search)
    return min(searches, key=_cut_of)
