"""Smaller graphs in the place of a large one, for searches that move many units at once."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy
from scipy.sparse import coo_array, csr_array

from pyg_modules._arrays import Floats, Ints
from pyg_modules.partition.search.loops import graph_of, is_compiled, kernels, parts

_log = logging.getLogger("pyg_modules")

# Further pairs are few.
_MATCHING_ROUNDS = 4
# A smaller graph has at most this share of the units of the one before.
_SHRINKS = 0.95


class Level(NamedTuple):
    """A graph whose units are groups of units of a finer one, of one class each.

    Attributes:
        affinity: Of the groups, ``[m, m]``; what is inside of one is on the diagonal.
        num_members: How many units of the finest graph every group has, ``[m]``.
        classes: Class of every group, ``[m]``.
        group: Group of every unit of the next finer graph, ``[n]``; of the finest, themselves.
    """

    affinity: csr_array[Any]
    num_members: Ints
    classes: Ints
    group: Ints

    @classmethod
    def finest(cls, affinity: csr_array[Any], classes: Ints) -> Level:
        """The graph itself."""
        everyone = numpy.arange(affinity.shape[0])
        return cls(affinity, numpy.ones_like(everyone), classes, everyone)

    def of_groups(self, values: Ints) -> Ints:
        """What is the same of all units of a group, ``[n]``, as that of the groups, ``[m]``."""
        of_groups = numpy.empty_like(self.num_members)
        of_groups[self.group] = values
        return of_groups


def coarsened(
    finest: Level,
    num_units: int,
    largest_group: Ints,
    generator: numpy.random.Generator,
    labels: Ints | None = None,
) -> list[Level]:
    """The graph and smaller ones, as far as units that hold together can be put together.

    The associations and volumes of modules are the same on every level. From `A Fast and High
    Quality Multilevel Scheme for Partitioning Irregular Graphs
    <https://doi.org/10.1137/S1064827595287997>`_.

    Args:
        finest (Level): The graph.
        num_units (int): A graph with no more units is small enough.
        largest_group (numpy.ndarray): How many units a group of every class may have, ``[C]``.
        generator (numpy.random.Generator): Of the order in which units are put together.
        labels (numpy.ndarray, optional): Only units of one module are put together. (default: none)
    """
    levels = [finest]
    while len(levels[-1].num_members) > num_units:
        fine = levels[-1]
        kind = fine.classes
        if labels is not None:
            kind = kind * (labels.max() + 1) + labels
        group = _matched(fine, kind, largest_group[fine.classes], generator)
        coarse = _contracted(fine, group)
        _log.info("%d units in %d groups.", len(group), len(coarse.num_members))
        if len(coarse.num_members) > _SHRINKS * len(fine.num_members):
            break
        levels.append(coarse)
        if labels is not None:
            labels = coarse.of_groups(labels)
    return levels


def _matched(
    level: Level, kind: Ints, largest_group: Ints, generator: numpy.random.Generator
) -> Ints:
    """Group of every unit: pairs of one kind, near to each other.

    What is left then, as around a hub or where units of one kind are not joined, is paired with
    those of its kind that have the same nearest unit.
    """
    count = level.num_members
    degree = numpy.asarray(level.affinity.sum(axis=1)).ravel()
    # What is random breaks ties, of which graphs with equal weights have many.
    scale = generator.uniform(1, 1.5, len(count)) * numpy.where(degree > 0, degree, 1) ** -0.5
    if is_compiled():
        order = generator.permutation(len(count))
        mate, hub = _match_in_order(level, kind, largest_group, scale, order)
    else:
        mate, hub = _match_in_rounds(level, kind, largest_group, scale)
    units = numpy.arange(len(count))
    first_of_pair = numpy.where(mate < 0, units, numpy.minimum(units, mate))
    left = numpy.flatnonzero(mate < 0)
    left = left[numpy.lexsort((count[left], hub[left], kind[left]))]
    position = numpy.arange(len(left))
    differs = numpy.diff(kind[left], prepend=-1) != 0
    differs |= numpy.diff(hub[left], prepend=-2) != 0
    # Every second one of a run of units that are alike joins the one before.
    start = numpy.maximum.accumulate(numpy.where(differs, position, 0))
    second = numpy.flatnonzero((position - start) % 2)
    one, other = left[second - 1], left[second]
    fits = count[one] + count[other] <= largest_group[one]
    first_of_pair[other[fits]] = one[fits]
    group: Ints = numpy.unique(first_of_pair, return_inverse=True)[1]
    return group


def _match_in_order(
    level: Level, kind: Ints, largest_group: Ints, scale: Floats, order: Ints
) -> tuple[Ints, Ints]:
    """The mate of every unit, or -1, and its nearest unit: one after the other."""
    graph = graph_of(level.affinity, level.num_members, level.classes)
    mate, hub = numpy.full(len(order), -1), numpy.full(len(order), -1)
    for part in parts(numpy.diff(graph.starts)[order]):
        kernels().match(graph, scale, kind, largest_group, order[part], mate, hub)
    return mate, hub


def _match_in_rounds(
    level: Level, kind: Ints, largest_group: Ints, scale: Floats
) -> tuple[Ints, Ints]:
    """The same for all at once: those that are each other's nearest among those that are left."""
    affinity, count = level.affinity, level.num_members
    num_units = len(count)
    units = numpy.arange(num_units)
    row = numpy.repeat(units.astype(numpy.int32), numpy.diff(affinity.indptr))
    column = affinity.indices
    nearness = affinity.data * scale[row] * scale[column]
    others = row != column
    row, column, nearness = row[others], column[others], nearness[others]
    hub = _nearest(row, column, nearness, num_units)
    fits = (kind[row] == kind[column]) & (count[row] + count[column] <= largest_group[row])
    row, column, nearness = row[fits], column[fits], nearness[fits]
    mate = numpy.full(num_units, -1)
    for _ in range(_MATCHING_ROUNDS):
        choice = _nearest(row, column, nearness, num_units)
        chosen = (choice >= 0) & (choice[choice] == units)
        mate[chosen] = choice[chosen]
        free = (mate[row] < 0) & (mate[column] < 0)
        row, column, nearness = row[free], column[free], nearness[free]
    return mate, hub


def _nearest(row: Any, column: Any, nearness: Any, num_units: int) -> Ints:
    """The nearest unit of every unit, the first of several, ``[n]``, or -1; by rows."""
    found = numpy.full(num_units, -1)
    if len(row):
        first = numpy.flatnonzero(numpy.diff(row, prepend=-1))
        nearest = numpy.zeros(num_units)
        nearest[row[first]] = numpy.maximum.reduceat(nearness, first)
        is_nearest = numpy.flatnonzero(nearness == nearest[row])[::-1]
        found[row[is_nearest]] = column[is_nearest]
    return found


def _contracted(level: Level, group: Ints) -> Level:
    count = numpy.bincount(group, level.num_members).astype(numpy.int64)
    classes = numpy.empty_like(count)
    classes[group] = level.classes
    contract = _contract_in_order if is_compiled() else _contract_at_once
    return Level(contract(level, group, len(count)), count, classes, group)


def _contract_in_order(level: Level, group: Ints, num_groups: int) -> csr_array[Any]:
    """The affinities of groups, ``[m, m]``, row by row."""
    graph = graph_of(level.affinity, level.num_members, level.classes)
    members = numpy.argsort(group, kind="stable")
    member_starts = numpy.zeros(num_groups + 1, dtype=numpy.int64)
    numpy.cumsum(numpy.bincount(group), out=member_starts[1:])
    columns, values = numpy.empty_like(graph.columns), numpy.empty_like(graph.values)
    place, ends = numpy.full(num_groups, -1), numpy.zeros(num_groups, dtype=numpy.int64)
    lengths = numpy.bincount(group, numpy.diff(graph.starts)).astype(numpy.int64)
    for part in parts(lengths):
        kernels().contract(
            graph,
            group,
            members,
            member_starts,
            part.start,
            part.stop,
            place,
            columns,
            values,
            ends,
        )
    starts = numpy.concatenate([[0], ends])
    kept = slice(0, starts[-1])
    shape = num_groups, num_groups
    # Copies, so that what is not needed of the arrays is freed.
    return csr_array((values[kept].copy(), columns[kept].copy(), starts), shape=shape)


def _contract_at_once(level: Level, group: Ints, num_groups: int) -> csr_array[Any]:
    """The same for all rows."""
    affinity, small = level.affinity, group.astype(numpy.int32)
    row = numpy.repeat(small, numpy.diff(affinity.indptr))
    shape = num_groups, num_groups
    return coo_array((affinity.data, (row, small[affinity.indices])), shape=shape).tocsr()
