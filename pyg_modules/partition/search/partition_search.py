from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Floats, Ints
from pyg_modules.partition.search.loops import chunk, graph_of, is_compiled, kernels, parts
from pyg_modules.partition.search.size_bounds import SizeBounds

_MAX_ROUNDS = 50
_REPAIR_ROUNDS = 16
# A round in which a smaller share of the units moves is the last one.
_LEAST_MOVED = 1e-4
# The tabu search reads every gain at every move; this bounds how many it reads in all.
_MAX_WORK = 2 * 10**8


class PartitionSearch:
    """A hard partition that changes unit by unit towards a lower normalized cut.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, with a mean degree of about 1,
            ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules. ``labels`` need not be within them.
        count (numpy.ndarray, optional): How many units of the finest graph each is, ``[n]``.
            (default: 1)
    """

    def __init__(
        self,
        affinity: csr_array[Any],
        labels: Ints,
        bounds: SizeBounds,
        count: Ints | None = None,
    ) -> None:
        self._kernels = kernels()
        self.affinity = affinity
        num_units, (num_classes, num_modules) = len(labels), bounds.smallest.shape
        ones = numpy.ones(num_units, dtype=numpy.int64)
        self._graph = graph_of(affinity, ones if count is None else count, bounds.classes)
        self._modules = self._kernels.Modules(
            numpy.array(labels, dtype=numpy.int64),
            numpy.zeros((num_classes, num_modules), dtype=numpy.int64),
            numpy.zeros(num_modules),
            numpy.zeros(num_modules),
            bounds.smallest,
            bounds.largest,
        )
        self._add_up()

    @property
    def labels(self) -> Ints:
        """Module of every unit, ``[n]``."""
        labels: Ints = self._modules.labels
        return labels

    @property
    def normalized_cut(self) -> float:
        """The normalized cut of :attr:`labels`."""
        return 1 - self._sum_of_ratios() / len(self._modules.volume)

    def repair(self) -> None:
        """Bring the sizes within their bounds, by the moves that raise the cut least.

        Gains are read for all units, then used for a part of the moves that are missing, so that
        the time is about linear in the number of units. Units that count several may not fit.
        """
        while (missing := self._num_misplaced()) > 0:
            _, gain = self._best_moves(repairs=True)
            order = numpy.argsort(-gain, kind="stable")[: 1 + missing // _REPAIR_ROUNDS]
            if not self._sweep(order, repairs=True):
                break

    def climb(self) -> None:
        """Rounds of moves of single units that lower the cut, as long as there are some."""
        self._awake[:] = True
        for _ in range(_MAX_ROUNDS):
            units = numpy.flatnonzero(self._awake)
            if not is_compiled():
                units = units[self._best_moves()[1][units] > self._kernels.ROUNDING]
            if self._sweep(units) <= _LEAST_MOVED * len(self.labels):
                break

    def exchange(self) -> None:
        """Rounds in which units of two modules change places, as long as that lowers the cut.

        They are of one class, and each counts one.
        """
        for _ in range(_MAX_ROUNDS):
            num_exchanged = 0
            target, gain = self._best_moves(anywhere=True)
            for there, back in self._opposite(target, gain):
                num_exchanged += self._kernels.exchange(
                    self._graph, self._modules, there, back, gain[there], gain[back]
                )
            if num_exchanged <= _LEAST_MOVED * len(self.labels):
                break

    def _opposite(self, target: Ints, gain: Floats) -> list[tuple[Ints, Ints]]:
        """Units of one class and module that want to another, and those that want back."""
        num_modules = len(self._modules.volume)
        ways = (self._graph.classes * num_modules + self.labels) * num_modules + target
        order = numpy.lexsort((-gain, ways))
        present, first = numpy.unique(ways[order], return_index=True)
        movers = dict(zip(present.tolist(), numpy.split(order, first[1:]), strict=True))
        pairs = []
        for way, there in movers.items():
            rest, other = divmod(way, num_modules)
            class_, own = divmod(rest, num_modules)
            back = movers.get((class_ * num_modules + other) * num_modules + own)
            if own < other and back is not None:
                pairs.append((there, back))
        return pairs

    def roam(self, generator: numpy.random.Generator, patience: int) -> None:
        """Tabu search: the best move of a unit that does not rest, even if it raises the cut.

        A unit that moved rests for a random number of moves. Sizes may be off by one on the way, so
        that units can change places. Ends at the best partition within the bounds that was met,
        after ``patience`` moves per unit without a better one.
        """
        num_units, num_modules = len(self.labels), len(self._modules.volume)
        table = self._new_table()
        best_labels = self.labels.copy()
        best = numpy.array([self._sum_of_ratios()])
        # No class is out of its bounds; the best was met at step 0.
        state = numpy.array([-1, 0, self._graph.num_members.max()])
        steps = _MAX_WORK // (num_units * num_modules)
        # Some moves more, as a few units take few moves for a round trip.
        patience = patience * num_units + 100
        # Few units end soon: what is drawn for more moves would take longer than they do.
        size = min(1 + chunk() // (num_units * num_modules), patience)
        for step in range(0, steps, size):
            rests = generator.integers(num_units // 20 + 2, num_units // 5 + 4, size=size)
            if self._kernels.roam(
                self._graph,
                self._modules,
                table,
                rests,
                step,
                state,
                best_labels,
                best,
                patience,
            ):
                break
        self._modules.labels[:] = best_labels
        self._add_up()

    def _add_up(self) -> None:
        """Sizes, volumes and associations of the labels."""
        graph, modules = self._graph, self._modules
        num_classes, num_modules = modules.size.shape
        owner = numpy.repeat(self.labels, numpy.diff(graph.starts))
        inside = owner == self.labels[graph.columns]
        cell = graph.classes * num_modules + self.labels
        size = numpy.bincount(cell, graph.num_members, num_classes * num_modules)
        modules.size[:] = size.reshape(num_classes, num_modules)
        modules.volume[:] = numpy.bincount(self.labels, graph.degree, num_modules)
        modules.association[:] = numpy.bincount(owner[inside], graph.values[inside], num_modules)
        self._awake = numpy.ones(len(self.labels), dtype=numpy.bool_)

    def _sum_of_ratios(self) -> float:
        return float(self._kernels.sum_of_ratios(self._modules))

    def _num_misplaced(self) -> int:
        """How many units have to move at least before the sizes are within their bounds."""
        modules = self._modules
        above = (modules.size - modules.largest).clip(min=0).sum(axis=1)
        below = (modules.smallest - modules.size).clip(min=0).sum(axis=1)
        return int(numpy.maximum(above, below).sum())

    def _sweep(self, units: Ints, *, repairs: bool = False) -> int:
        """How many of ``units`` moved, each where it gains most."""
        awake = numpy.ones_like(self._awake) if repairs else self._awake
        return sum(
            self._kernels.sweep(self._graph, self._modules, units[part], awake, repairs)
            for part in parts(self._lengths[units])
        )

    @property
    def _lengths(self) -> Ints:
        """How many numbers are read for the moves of every unit, ``[n]``."""
        lengths: Ints = numpy.diff(self._graph.starts) + len(self._modules.volume)
        return lengths

    def _best_moves(self, *, repairs: bool = False, anywhere: bool = False) -> tuple[Ints, Floats]:
        """Where every unit gains most within the bounds or ``anywhere``, ``[n]``, and what."""
        num_units, modules = len(self.labels), self._modules
        if anywhere:
            modules = modules._replace(
                smallest=numpy.zeros_like(modules.size),
                largest=numpy.full_like(modules.size, self._graph.num_members.sum()),
            )
        target = numpy.zeros(num_units, dtype=numpy.int64)
        gain = numpy.empty(num_units)
        for part in parts(self._lengths):
            self._kernels.best_moves(
                self._graph, modules, repairs, part.start, part.stop, target, gain
            )
        return target, gain

    def _new_table(self) -> Any:
        num_units, num_modules = len(self.labels), len(self._modules.volume)
        units = numpy.arange(num_units)
        members = csr_array(
            (numpy.ones(num_units), (self.labels, units)), shape=(num_modules, num_units)
        )
        pull = (members @ self.affinity).toarray()
        pull[self.labels, units] -= self._graph.loop
        table = self._kernels.Table(
            numpy.ascontiguousarray(pull),
            numpy.empty((num_modules, num_units)),
            numpy.empty(num_units),
            numpy.zeros(num_units, dtype=numpy.int64),
        )
        for module in range(num_modules):
            self._kernels.fill_table(module, self._graph, self._modules, table)
        return table
