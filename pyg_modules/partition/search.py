from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyg_modules.partition.size_bounds import SizeBounds

Ints = NDArray[numpy.int64]
Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]

_MAX_ROUNDS = 50
_REPAIR_ROUNDS = 16
# A round in which a smaller share of the units moves is the last one.
_LEAST_MOVED = 1e-4
# A loop reads about this many numbers, some tenths of a second where it is compiled, before an
# interrupt of the user gets through.
_CHUNK = 2 * 10**7
# The tabu search reads every gain at every move; this bounds how many it reads in all.
_MAX_WORK = 2 * 10**8


class PartitionSearch:
    """A hard partition that changes unit by unit towards a lower normalized cut.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, with a mean degree of about 1,
            ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules. ``labels`` need not be within them.
        count (numpy.ndarray, optional): How many units of a finer graph each is, ``[n]``.
            (default: 1)
    """

    def __init__(
        self,
        affinity: csr_array[Any],
        labels: Ints,
        bounds: SizeBounds,
        count: Ints | None = None,
    ) -> None:
        self.bounds = bounds
        self._kernels = _kernels()
        num_units, num_modules = len(labels), len(bounds.smallest)
        self.affinity = affinity
        # One type of everything, so that loops are compiled once.
        self._graph = self._kernels.Graph(
            affinity.indptr.astype(numpy.int64),
            affinity.indices.astype(numpy.int32, copy=False),
            affinity.data.astype(numpy.float64, copy=False),
            numpy.asarray(affinity.sum(axis=1), dtype=numpy.float64).ravel(),
            affinity.diagonal(),
            numpy.ones(num_units, dtype=numpy.int64) if count is None else count,
        )
        self._modules = self._kernels.Modules(
            numpy.array(labels, dtype=numpy.int64),
            numpy.zeros(num_modules, dtype=numpy.int64),
            numpy.zeros(num_modules),
            numpy.zeros(num_modules),
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
        return 1 - self._sum_of_ratios() / len(self._modules.size)

    def repair(self) -> None:
        """Bring the sizes within their bounds, by the moves that raise the cut least.

        Gains are read for all units, then used for a part of the moves that are missing, so that
        the time is about linear in the number of units. Units that count several may not fit.
        """
        while (missing := self._num_misplaced()) > 0:
            size, (smallest, largest) = self._modules.size, self.bounds
            above, below = size > largest, size < smallest
            _, gain = self._best_moves(
                above if above.any() else size > smallest, below if below.any() else size < largest
            )
            order = numpy.argsort(-gain, kind="stable")[: 1 + missing // _REPAIR_ROUNDS]
            if not self._sweep(order, repairs=True):
                break

    def climb(self) -> None:
        """Rounds of moves of single units that lower the cut, as long as there are some."""
        self._awake[:] = True
        for _ in range(_MAX_ROUNDS):
            units = numpy.flatnonzero(self._awake)
            if not self._kernels.IS_COMPILED:
                units = units[self._best_moves()[1][units] > self._kernels.ROUNDING]
            if self._sweep(units) <= _LEAST_MOVED * len(self.labels):
                break

    def exchange(self) -> None:
        """Rounds in which units of two modules change places, as long as that lowers the cut."""
        num_modules = len(self._modules.size)
        for _ in range(_MAX_ROUNDS):
            target, gain = self._best_moves()
            ways = self.labels * num_modules + target
            order = numpy.lexsort((-gain, ways))
            present, first = numpy.unique(ways[order], return_index=True)
            movers = dict(zip(present.tolist(), numpy.split(order, first[1:]), strict=True))
            num_exchanged = 0
            for way, there in movers.items():
                one, other = divmod(way, num_modules)
                back = movers.get(other * num_modules + one)
                if one < other and back is not None:
                    num_exchanged += self._kernels.exchange(
                        self._graph, self._modules, one, other, there, back, gain[there], gain[back]
                    )
            if num_exchanged <= _LEAST_MOVED * len(self.labels):
                break

    def roam(self, generator: numpy.random.Generator) -> None:
        """Tabu search: the best move of a unit that does not rest, even if it raises the cut.

        A unit that moved rests for a random number of moves. Sizes may be off by one on the way, so
        that units can change places. Ends at the best partition within the bounds that was met.
        """
        num_units, num_modules = len(self.labels), len(self._modules.size)
        table = self._new_table()
        best_labels = self.labels.copy()
        best = numpy.array([self._sum_of_ratios(), 0.0])
        # Some moves more, as a few units take few moves for a round trip.
        patience = 4 * num_units + 100
        steps = _MAX_WORK // (num_units * num_modules)
        chunk = 1 + _CHUNK // (num_units * num_modules)
        for step in range(0, steps, chunk):
            rests = generator.integers(num_units // 20 + 2, num_units // 5 + 4, size=chunk)
            if self._kernels.roam(
                self._graph,
                self._modules,
                *self.bounds,
                table,
                rests,
                step,
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
        num_modules = len(modules.size)
        owner = numpy.repeat(self.labels, numpy.diff(graph.starts))
        inside = owner == self.labels[graph.columns]
        modules.size[:] = numpy.bincount(self.labels, graph.count, num_modules)
        modules.volume[:] = numpy.bincount(self.labels, graph.degree, num_modules)
        modules.association[:] = numpy.bincount(owner[inside], graph.values[inside], num_modules)
        self._awake = numpy.ones(len(self.labels), dtype=numpy.bool_)

    def _sum_of_ratios(self) -> float:
        return float(self._kernels.sum_of_ratios(self._modules))

    def _num_misplaced(self) -> int:
        """How many units have to move at least before the sizes are within their bounds."""
        size, (smallest, largest) = self._modules.size, self.bounds
        return int(max((size - largest).clip(min=0).sum(), (smallest - size).clip(min=0).sum()))

    def _sweep(self, units: Ints, *, repairs: bool = False) -> int:
        """How many of ``units`` moved, each where it gains most."""
        awake = numpy.ones_like(self._awake) if repairs else self._awake
        return sum(
            self._kernels.sweep(self._graph, self._modules, *self.bounds, part, awake, repairs)
            for part in self._parts(units)
        )

    def _parts(self, units: Ints) -> list[Ints]:
        """``units`` in parts whose rows have not too many numbers."""
        lengths = numpy.diff(self._graph.starts)[units] + len(self._modules.size)
        part = numpy.cumsum(lengths) // _CHUNK
        return numpy.split(units, numpy.flatnonzero(numpy.diff(part)) + 1)

    def _best_moves(
        self, may_lose: Bools | None = None, may_gain: Bools | None = None
    ) -> tuple[Ints, Floats]:
        """Where every unit gains most, ``[n]``, among all modules by default, and what."""
        num_units, num_modules = len(self.labels), len(self._modules.size)
        all_ = numpy.ones(num_modules, dtype=numpy.bool_)
        target = numpy.zeros(num_units, dtype=numpy.int64)
        gain = numpy.empty(num_units)
        kernels = self._kernels
        find = kernels.best_moves if kernels.IS_COMPILED else kernels.best_moves_of_rows
        for part in self._parts(numpy.arange(num_units)):
            find(
                self._graph,
                self._modules,
                all_ if may_lose is None else may_lose,
                all_ if may_gain is None else may_gain,
                part[0],
                part[-1] + 1,
                target,
                gain,
            )
        return target, gain

    def _new_table(self) -> Any:
        num_units, num_modules = len(self.labels), len(self._modules.size)
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


@cache
def _kernels() -> ModuleType:
    # numba takes half a second to import.
    from pyg_modules.partition import kernels

    return kernels
