"""The last dead units come to life by one exchange after the other, each the best of many."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from scipy.sparse import csr_array

from pyg_modules._arrays import Bools, Floats, Ints
from pyg_modules.graph.batched_reach import BatchedReach
from pyg_modules.partition.admissible.living import Living
from pyg_modules.partition.labels import SHARED, may_join
from pyg_modules.partition.search.links import affinity_to_modules
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import INPUT

# In a round, so many dead units are looked at, and so many exchanges tried.
_UNITS, _EXCHANGES = 8, 128
# Units that changed places stay there for so many rounds.
_TENURE = 5
_PATIENCES = 10


class Exchanges:
    """A tabu search for labels by which as few modules and units as possible are dead.

    An exchange is a row of two units and a module: the first moves to the module, the other to
    where the first was, unless it is the same one.

    Args:
        living (Living): Who lives.
        affinity (scipy.sparse.csr_array): Of the units, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
    """

    def __init__(self, living: Living, affinity: csr_array[Any], bounds: SizeBounds) -> None:
        self._living, self._affinity, self._bounds = living, affinity, bounds
        graph, source, target = living.graph, living.source, living.target
        self._reach = BatchedReach(source, target, graph.num_units, graph.inputs, graph.outputs)
        self._ends = living.number[numpy.stack([source, target])]
        self._is_input = source < graph.num_inputs
        # The edges of every unit, one unit after the other.
        order = self._ends.ravel().argsort(kind="stable")
        self._edges = order % max(1, len(source))
        everyone = numpy.arange(len(living.members) + 1)
        self._first = self._ends.ravel()[order].searchsorted(everyone)

    def revived(
        self,
        labels: Ints,
        least: int,
        progress: float,
        patience: int,
        generator: numpy.random.Generator,
    ) -> Ints:
        """Labels by which no more is dead than by ``labels``.

        Args:
            labels (numpy.ndarray): Module of every unit, ``[n]``, within the bounds.
            least (int): It ends where no module and at most so many units are dead.
            progress (float): A share of the dead ones that is not lower than this is no progress.
            patience (int): It ends after so many rounds without, or ten times as many altogether.
            generator (numpy.random.Generator): Of what is tried.
        """
        nothing = numpy.array([[0, 0, labels[0]]])
        _, dead, (fewest,) = self._tried(labels, nothing)
        best, present, dead = labels, labels, dead[:, 0]
        now, since, began = 0, 0, fewest
        settled = numpy.zeros(len(labels), dtype=numpy.int64)
        while fewest > least and now < min(since + patience, _PATIENCES * patience):
            now += 1
            exchanges = self._drawn(present, dead, settled < now, generator)
            if not len(exchanges):
                continue
            found, dead_after, lack = self._tried(present, exchanges)
            chosen = numpy.lexsort((self._losses(present, exchanges), lack))[0]
            present, dead = found[:, chosen], dead_after[:, chosen]
            settled[exchanges[chosen, :2]] = now + _TENURE
            if lack[chosen] < fewest:
                best, fewest = present, lack[chosen]
                if fewest <= progress * began:
                    began, since = fewest, now
        return best

    def _drawn(
        self, labels: Ints, dead: Bools, is_free: Bools, generator: numpy.random.Generator
    ) -> Ints:
        """Exchanges at random that may help some of the dead units, ``[M, 3]``."""
        num_modules = self._living.num_modules
        helped = dead.nonzero()[0] if dead.any() else numpy.arange(len(labels))
        moves = []
        for unit in generator.permutation(helped)[:_UNITS]:
            own = labels[unit]
            row = slice(self._affinity.indptr[unit], self._affinity.indptr[unit + 1])
            neighbours = self._affinity.indices[row]
            come = neighbours[labels[neighbours] != own]
            others = numpy.delete(numpy.arange(num_modules), own)
            moves.append(numpy.stack(numpy.broadcast_arrays(unit, others), axis=1))
            moves.append(numpy.stack(numpy.broadcast_arrays(come, own), axis=1))
        units, modules = generator.choice(numpy.concatenate(moves), _EXCHANGES).T
        # Any of those who are there goes, or nobody where there is room.
        size, kind = self._bounds.sizes(labels), self._bounds.classes
        members = (kind * num_modules + labels).argsort(kind="stable")
        first = (size.cumsum() - size.ravel())[kind[units] * num_modules + modules]
        num_there = size[kind[units], modules]
        has_room = self._bounds.has_room(labels, units, modules)
        which = (generator.random(_EXCHANGES) * (num_there + has_room)).astype(numpy.int64)
        there = members[(first + which).clip(max=len(members) - 1)]
        others = numpy.where(which < num_there, there, units)
        may_be = (num_there + has_room > 0) & is_free[units] & is_free[others]
        exchanges: Ints = numpy.stack([units, others, modules], axis=1)[may_be]
        return exchanges

    def _tried(self, labels: Ints, exchanges: Ints) -> tuple[Ints, Bools, Ints]:
        """What each of M exchanges makes of the labels.

        Returns:
            tuple: The labels after it, ``[n, M]``; which units are dead, ``[n, M]``; and how many
            modules and units, of which modules count for more than all units, ``[M]``.
        """
        units, others, modules = exchanges.T
        every = numpy.arange(len(exchanges))
        found = numpy.repeat(labels[:, None], len(exchanges), axis=1)
        found[others, every] = labels[units]
        found[units, every] = modules
        living = self._living
        alive = self._reach.is_alive(self._kept(labels, found, exchanges), living.steps)
        alive = alive[living.members] & (living.role != INPUT)[:, None]
        num_modules, num_units = living.lacks(found, alive)
        lack = num_modules * (len(labels) + 1) + num_units
        return found, living.may_live[:, None] & ~alive, lack

    def _kept(self, labels: Ints, found: Ints, exchanges: Ints) -> Bools:
        """Which edges a cut leaves after each of M exchanges, ``[E, M]``.

        Others than those of the two units are as they are.
        """
        source, target = numpy.append(labels, SHARED)[self._ends]
        stays = _stays(source, target, self._is_input)
        kept = numpy.repeat(stays[:, None], len(exchanges), axis=1)
        units, column = exchanges[:, :2].ravel(), numpy.arange(len(exchanges)).repeat(2)
        count = self._first[units + 1] - self._first[units]
        column = column.repeat(count)
        skipped = (count.cumsum() - count - self._first[units]).repeat(count)
        edges = self._edges[numpy.arange(len(column)) - skipped]
        shared = numpy.full((1, len(exchanges)), SHARED)
        source, target = numpy.concatenate([found, shared])[self._ends[:, edges], column]
        kept[edges, column] = _stays(source, target, self._is_input[edges])
        return kept

    def _losses(self, labels: Ints, exchanges: Ints) -> Floats:
        """How much more affinity to other modules the units would have, ``[M]``, about."""
        pull = affinity_to_modules(self._affinity, labels, self._living.num_modules)
        units, others, modules = exchanges.T
        own, theirs = labels[units], labels[others]
        of_units = pull[units, own] - pull[units, modules]
        of_others = pull[others, theirs] - pull[others, own]
        losses: Floats = of_units + of_others
        return losses


def _stays(source: Ints, target: Ints, is_input: Bools) -> Bools:
    """:func:`may_join` of labels that are arrays of NumPy."""
    joins: Bools = may_join(*map(torch.from_numpy, (source, target, is_input))).numpy()
    return joins
