"""Smaller graphs in the place of a large one, for searches that move many units at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

Ints = NDArray[numpy.int64]

# Further pairs are few.
_MATCHING_ROUNDS = 4
# A smaller graph has at most this share of the units of the one before, and, where edges are many,
# of its edges: without parts that hold together, every level would cost as much as the first.
_SHRINKS = 0.95
_MANY_EDGES = 4 * 10**6


class Level(NamedTuple):
    """A graph whose units are groups of units of a finer one.

    Attributes:
        affinity: Of the groups, ``[m, m]``; what is inside of one is on the diagonal.
        count: How many units of the finest graph every group has, ``[m]``.
        group: Group of every unit of the next finer graph, ``[n]``; of the finest, themselves.
    """

    affinity: csr_array[Any]
    count: Ints
    group: Ints


def coarsened(
    affinity: csr_array[Any],
    num_units: int,
    largest_group: int,
    generator: numpy.random.Generator,
    labels: Ints | None = None,
) -> list[Level]:
    """The graph and smaller ones, as far as units that hold together can be put together.

    The associations and volumes of modules are the same on every level. From `A Fast and High
    Quality Multilevel Scheme for Partitioning Irregular Graphs
    <https://doi.org/10.1137/S1064827595287997>`_.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        num_units (int): A graph with no more units is small enough.
        largest_group (int): How many units a group may have.
        generator (numpy.random.Generator): Of the order in which units are put together.
        labels (numpy.ndarray, optional): Only units of one module are put together. (default: none)
    """
    everyone = numpy.arange(affinity.shape[0])
    levels = [Level(affinity, numpy.ones_like(everyone), everyone)]
    while levels[-1].affinity.shape[0] > num_units:
        fine = levels[-1]
        group = _matched(fine, largest_group, generator, labels)
        coarse = _contracted(fine, group)
        if coarse.affinity.shape[0] > _SHRINKS * fine.affinity.shape[0]:
            break
        levels.append(coarse)
        if coarse.affinity.nnz > max(_MANY_EDGES, _SHRINKS * fine.affinity.nnz):
            break
        if labels is not None:
            labels_of_groups = numpy.empty(len(coarse.count), dtype=numpy.int64)
            labels_of_groups[group] = labels
            labels = labels_of_groups
    return levels


def _matched(
    level: Level, largest_group: int, generator: numpy.random.Generator, labels: Ints | None
) -> Ints:
    """Pairs of units that are each other's nearest, by rounds among those that are left."""
    affinity, count = level.affinity, level.count
    num_units = affinity.shape[0]
    units = numpy.arange(num_units)
    row = numpy.repeat(units.astype(numpy.int32), numpy.diff(affinity.indptr))
    column = affinity.indices
    fits = (row != column) & (count[row] + count[column] <= largest_group)
    if labels is not None:
        fits &= labels[row] == labels[column]
    row, column = row[fits], column[fits]
    degree = numpy.asarray(affinity.sum(axis=1)).ravel()
    # What is random breaks ties, of which graphs with equal weights have many.
    scale = generator.uniform(1, 1.5, num_units) * numpy.where(degree > 0, degree, 1) ** -0.5
    nearness = affinity.data[fits] * scale[row] * scale[column]
    mate = numpy.full(num_units, -1)
    for _ in range(_MATCHING_ROUNDS):
        if not len(row):
            break
        first = numpy.flatnonzero(numpy.diff(row, prepend=-1))
        nearest = numpy.zeros(num_units)
        nearest[row[first]] = numpy.maximum.reduceat(nearness, first)
        is_nearest = numpy.flatnonzero(nearness == nearest[row])[::-1]
        choice = numpy.full(num_units, -1)
        choice[row[is_nearest]] = column[is_nearest]
        chosen = (choice >= 0) & (choice[choice] == units)
        mate[chosen] = choice[chosen]
        free = (mate[row] < 0) & (mate[column] < 0)
        row, column, nearness = row[free], column[free], nearness[free]
    first_of_pair = numpy.where(mate < 0, units, numpy.minimum(mate, units))
    group: Ints = numpy.unique(first_of_pair, return_inverse=True)[1]
    return group


def _contracted(level: Level, group: Ints) -> Level:
    affinity = level.affinity
    small = group.astype(numpy.int32)
    row = numpy.repeat(small, numpy.diff(affinity.indptr))
    count = numpy.bincount(group, level.count).astype(numpy.int64)
    shape = len(count), len(count)
    return Level(
        coo_array((affinity.data, (row, small[affinity.indices])), shape=shape).tocsr(),
        count,
        group,
    )
