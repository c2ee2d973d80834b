"""Partitions of a lower normalized cut."""

from __future__ import annotations

import logging
from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Ints
from pyg_modules.partition.search.coarsen import Level, coarsened
from pyg_modules.partition.search.loops import is_compiled
from pyg_modules.partition.search.partition_search import PartitionSearch
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.search.spectral_clustering import spectral_labels

_log = logging.getLogger("pyg_modules")

_NUM_RANDOM_STARTS = 2
# Searches from the best partition on, with this share of the units out of place; fewer where loops
# are not compiled, so that they take no longer than the first searches.
_NUM_KICKS, _NUM_KICKS_OF_ARRAYS, _KICK = 16, 4, 0.05
# After how many moves per unit without a better partition a search is over: a first one, and one
# after a kick.
_PATIENCE, _PATIENCE_OF_KICK = 4, 1
# A graph with no more units is searched as it is, by several long searches.
_SMALL = 1200
# Of a graph with more units, eigenvectors and a second cycle would take more than all the rest.
_HUGE = 200_000
# The smallest graph has this many units per module, so that there is something to choose from.
_UNITS_PER_MODULE = 25
# A module of mean size has this many groups of the smallest graph at least.
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
    finest = Level.finest(_scaled(affinity), bounds.classes)
    if len(finest.num_members) <= _SMALL:
        return _best_of_starts(finest, bounds, generator, seed).labels
    levels = _levels(finest, bounds, generator)
    coarsest = _best_of_starts(levels[-1], _loosened(bounds, levels[-1]), generator, seed)
    _log.info("A normalized cut of %g of %d groups.", coarsest.normalized_cut, len(coarsest.labels))
    starts = [_uncoarsened(levels, coarsest.labels, bounds)]
    if len(finest.num_members) <= _HUGE:
        starts.append(
            spectral_labels(finest.affinity, bounds, seed=seed, assign="cluster_qr", power=0.5)
        )
    searches = [_settled(finest.affinity, labels, bounds) for labels in starts]
    for search in searches:
        _log.info("A normalized cut of %g at first.", search.normalized_cut)
    return _refined(min(searches, key=_cut_of), bounds, generator).labels


def _scaled(affinity: csr_array[Any]) -> csr_array[Any]:
    """With a mean degree of 1: the search takes volumes near 0 for rounding."""
    scaled = affinity.copy()
    largest = scaled.data.max(initial=0.0)
    if largest > 0:
        # One after the other, as neither the sum nor an inverse need be finite.
        scaled.data = scaled.data / largest
        scaled.data *= affinity.shape[0] / scaled.data.sum()
        scaled.eliminate_zeros()
    return scaled


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


def _refined(
    search: PartitionSearch, bounds: SizeBounds, generator: numpy.random.Generator
) -> PartitionSearch:
    """The search, roamed where the graph is small, else searched again on smaller graphs."""
    if len(search.labels) <= _SMALL:
        search.roam(generator, _PATIENCE)
        return search
    finest = Level.finest(search.affinity, bounds.classes)
    for _ in range(_MAX_CYCLES if len(search.labels) <= _HUGE else 1):
        levels = _levels(finest, bounds, generator, search.labels)
        labels = search.labels
        for level in levels[1:]:
            labels = level.of_groups(labels)
        coarsest = _search_of(levels[-1], labels, bounds)
        if len(labels) <= _SMALL:
            coarsest.roam(generator, _PATIENCE)
        found = _settled(search.affinity, _uncoarsened(levels, coarsest.labels, bounds), bounds)
        gain = search.normalized_cut - found.normalized_cut
        _log.info("A normalized cut of %g after %d levels.", found.normalized_cut, len(levels))
        if gain > 0:
            search = found
        if gain <= _LEAST_GAIN_OF_CYCLE * search.normalized_cut:
            break
    return search


def _levels(
    finest: Level,
    bounds: SizeBounds,
    generator: numpy.random.Generator,
    labels: Ints | None = None,
) -> list[Level]:
    num_units = min(_UNITS_PER_MODULE * bounds.largest.shape[1], _SMALL)
    num_largest = numpy.maximum(1, (bounds.largest > 0).sum(axis=1))
    mean = bounds.largest.sum(axis=1) // num_largest
    largest_group = numpy.maximum(1, mean // _GROUPS_PER_MODULE)
    return coarsened(finest, num_units, largest_group, generator, labels)


def _search_of(level: Level, labels: Ints, bounds: SizeBounds) -> PartitionSearch:
    of_level = bounds._replace(classes=level.classes)
    return PartitionSearch(level.affinity, labels, of_level, level.num_members)


def _uncoarsened(levels: list[Level], labels: Ints, bounds: SizeBounds) -> Ints:
    """Labels of the finest graph from those of the last one, improved on every level between."""
    for number in range(len(levels) - 1, 0, -1):
        search = _search_of(levels[number], labels, _loosened(bounds, levels[number]))
        search.climb()
        labels = search.labels[levels[number].group]
    return labels


def _loosened(bounds: SizeBounds, level: Level) -> SizeBounds:
    """Bounds that sizes can be brought within by moves of whole groups."""
    biggest = numpy.zeros_like(bounds.largest[:, 0])
    numpy.maximum.at(biggest, level.classes, level.num_members)
    share = numpy.ceil(_SLACK * bounds.largest).astype(numpy.int64)
    slack = numpy.maximum(share, biggest[:, None]) * (bounds.largest > 0)
    return bounds._replace(
        smallest=(bounds.smallest - slack).clip(min=0), largest=bounds.largest + slack
    )


def _best_of_starts(
    level: Level, bounds: SizeBounds, generator: numpy.random.Generator, seed: int
) -> PartitionSearch:
    """The best of the searches from spectral and from random labels."""
    bounds = bounds._replace(classes=level.classes)
    starts = [
        spectral_labels(level.affinity, bounds, seed=seed, assign=assign)
        for assign in ("cluster_qr", "kmeans")
    ]
    starts += [_random_labels(bounds, generator) for _ in range(_NUM_RANDOM_STARTS)]
    best = min((_roamed(level, start, bounds, generator) for start in starts), key=_cut_of)
    num_kicks = _NUM_KICKS if is_compiled() else _NUM_KICKS_OF_ARRAYS
    for _ in range(num_kicks if len(level.num_members) <= _SMALL else 0):
        kicked = _roamed(
            level, _kicked(best.labels, bounds, generator), bounds, generator, _PATIENCE_OF_KICK
        )
        best = min(best, kicked, key=_cut_of)
    return best


def _roamed(
    level: Level,
    labels: Ints,
    bounds: SizeBounds,
    generator: numpy.random.Generator,
    patience: int = _PATIENCE,
) -> PartitionSearch:
    search = _search_of(level, labels, bounds)
    search.repair()
    search.climb()
    search.roam(generator, patience)
    return search


def _kicked(labels: Ints, bounds: SizeBounds, generator: numpy.random.Generator) -> Ints:
    """Labels of which some units of a class have changed places."""
    chosen = generator.permutation(len(labels))[: max(2, int(_KICK * len(labels)))]
    chosen = chosen[numpy.argsort(bounds.classes[chosen], kind="stable")]
    kicked: Ints = labels.copy()
    kicked[chosen] = labels[numpy.roll(chosen, 1)]
    return kicked


def _random_labels(bounds: SizeBounds, generator: numpy.random.Generator) -> Ints:
    """Of every class, sizes in proportion to those that are wanted."""
    count = numpy.bincount(bounds.classes)
    order = generator.permutation(len(bounds.classes))
    order = order[numpy.argsort(bounds.classes[order], kind="stable")]
    class_ = bounds.classes[order]
    rank = numpy.arange(len(order)) - (numpy.cumsum(count) - count)[class_]
    share = numpy.cumsum(bounds.largest, axis=1) / bounds.largest.sum(axis=1, keepdims=True)
    labels: Ints = numpy.empty_like(order)
    labels[order] = (share[class_] < ((rank + 0.5) / count[class_])[:, None]).sum(axis=1)
    return labels


def _cut_of(search: PartitionSearch) -> float:
    return search.normalized_cut
