from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyg_modules.partition.size_bounds import SizeBounds

Ints = NDArray[numpy.int64]
Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]

# A gain below this is rounding.
_LEAST_GAIN = 1e-12
_MAX_ROUNDS = 50
_REPAIR_ROUNDS = 16
# The tabu search reads every gain at every move; this bounds how many numbers it reads in all, to
# some seconds. On graphs of a million units it makes few moves, and the greedy rounds do the work.
_MAX_WORK = 2 * 10**8


class PartitionSearch:
    """A hard partition that changes unit by unit towards a lower normalized cut.

    The normalized cut of K modules is 1 - (sum of ratios) / K, with the ratio of a module its
    association, the affinity inside it, over its volume, the affinity around it. The sum of ratios
    is maximised.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit at first, ``[n]``.
        bounds (SizeBounds): Sizes of the modules. ``labels`` need not be within them.
    """

    labels: Ints

    def __init__(self, affinity: csr_array[Any], labels: Ints, bounds: SizeBounds) -> None:
        self._bounds = bounds
        num_units, num_modules = len(labels), len(bounds.smallest)
        self.labels = labels.astype(numpy.int64, copy=True)
        self._starts, self._columns = affinity.indptr, affinity.indices
        self._values = affinity.data
        self._loop: Floats = affinity.diagonal()
        self._degree: Floats = numpy.asarray(affinity.sum(axis=1)).ravel()
        units = numpy.arange(num_units)
        members = csr_array(
            (numpy.ones(num_units), (units, self.labels)), shape=(num_units, num_modules)
        )
        # Affinity of every unit to the other units of every module, [n, K].
        self._pull: Floats = (affinity @ members).toarray()
        inside = self._pull[units, self.labels]
        self._pull[units, self.labels] -= self._loop
        self._size = numpy.bincount(self.labels, minlength=num_modules)
        self._volume = _sums(self.labels, self._degree, num_modules)
        self._association = _sums(self.labels, inside, num_modules)

    @property
    def normalized_cut(self) -> float:
        """The normalized cut of :attr:`labels`."""
        return 1 - self._sum_of_ratios() / len(self._size)

    def repair(self) -> None:
        """Bring the sizes within their bounds, by the moves that raise the cut least.

        Gains are read for all units, then used for a part of the moves that are missing, so that
        the time is about linear in the number of units.
        """
        while (missing := self._num_misplaced()) > 0:
            may_lose, may_gain = self._movable()
            units = numpy.flatnonzero(may_lose[self.labels])
            gains = self._gains(units)
            self._forbid(gains, self.labels[units], may_lose, may_gain)
            promised = numpy.argsort(-gains.max(axis=1), kind="stable")
            for unit in units[promised[: 1 + missing // _REPAIR_ROUNDS]]:
                self._improve(int(unit), least_gain=-numpy.inf)

    def climb(self) -> None:
        """Rounds of moves that lower the cut, the best ones first, as long as there are some."""
        for _ in range(_MAX_ROUNDS):
            gains = self._gains(slice(None))
            self._forbid(gains, self.labels, *self._movable())
            promised = gains.max(axis=1)
            hopeful = numpy.flatnonzero(promised > _LEAST_GAIN)
            order = numpy.argsort(-promised[hopeful], kind="stable")
            if not sum(self._improve(unit) for unit in hopeful[order]):
                break

    def roam(self, generator: numpy.random.Generator) -> None:
        """Tabu search: the best move of a unit that does not rest, even if it raises the cut.

        A unit that moved rests for a random number of moves. Sizes may be off by one on the way, so
        that units can change places. Ends at the best partition within the bounds that was met.
        """
        num_units, num_modules = self._pull.shape
        rest = num_units // 20 + 2, num_units // 5 + 4
        # Some moves more, as a few units take few moves for a round trip.
        patience = 4 * num_units + 100
        best, best_sum, best_step = self.labels.copy(), self._sum_of_ratios(), 0
        rests_until = numpy.zeros(num_units, dtype=numpy.int64)
        for step in range(_MAX_WORK // self._pull.size):
            gains = self._gains(slice(None))
            self._forbid(gains, self.labels, *self._movable(slack=1))
            gains[rests_until > step] = -numpy.inf
            unit, module = divmod(int(gains.argmax()), num_modules)
            if gains[unit, module] > -numpy.inf:
                self._move(unit, module)
                rests_until[unit] = step + generator.integers(*rest)
            reached = self._sum_of_ratios()
            if reached > best_sum + _LEAST_GAIN and not self._num_misplaced():
                best, best_sum, best_step = self.labels.copy(), reached, step
            elif step > best_step + patience:
                break
        for unit in numpy.flatnonzero(best != self.labels):
            self._move(int(unit), int(best[unit]))

    def _sum_of_ratios(self) -> float:
        return float(_ratio(self._association, self._volume).sum())

    def _out_of_bounds(self) -> tuple[Bools, Bools]:
        return self._size > self._bounds.largest, self._size < self._bounds.smallest

    def _num_misplaced(self) -> int:
        """How many units have to move at least before the sizes are within their bounds."""
        above = (self._size - self._bounds.largest).clip(min=0).sum()
        below = (self._bounds.smallest - self._size).clip(min=0).sum()
        return int(max(above, below))

    def _movable(self, slack: int = 0) -> tuple[Bools, Bools]:
        """Which modules may lose a unit and which may gain one, for bounds held within ``slack``.

        Where they do not hold, only moves that bring sizes back are allowed.
        """
        above, below = self._out_of_bounds()
        spares = self._size > self._bounds.smallest - slack * (not below.any())
        has_room = self._size < self._bounds.largest + slack * (not above.any())
        return above if above.any() else spares, below if below.any() else has_room

    def _gains(self, units: Ints | slice) -> Floats:
        """By how much the sum of ratios grows if a unit moves to a module, [u, K]."""
        labels, degree, loop = self.labels[units], self._degree[units], self._loop[units]
        pull = self._pull[units]
        ratio = _ratio(self._association, self._volume)
        own = numpy.take_along_axis(pull, labels[:, None], axis=1)[:, 0]
        left = _ratio(self._association[labels] - 2 * own - loop, self._volume[labels] - degree)
        gains = _ratio(self._association + 2 * pull + loop[:, None], self._volume + degree[:, None])
        gains -= ratio
        gains += (left - ratio[labels])[:, None]
        return gains

    @staticmethod
    def _forbid(gains: Floats, labels: Ints, may_lose: Bools, may_gain: Bools) -> None:
        """Leave only moves between different modules that may lose and gain."""
        gains[:, ~may_gain] = -numpy.inf
        gains[~may_lose[labels]] = -numpy.inf
        numpy.put_along_axis(gains, labels[:, None], -numpy.inf, axis=1)

    def _improve(self, unit: int, least_gain: float = _LEAST_GAIN) -> bool:
        """Move ``unit`` to where it lowers the cut most, if it gains more than ``least_gain``."""
        alone = numpy.array([unit])
        gains = self._gains(alone)
        self._forbid(gains, self.labels[alone], *self._movable())
        module = int(gains.argmax())
        improves = bool(gains[0, module] > least_gain)
        if improves:
            self._move(unit, module)
        return improves

    def _move(self, unit: int, module: int) -> None:
        source = self.labels[unit]
        row = slice(self._starts[unit], self._starts[unit + 1])
        neighbours, values = self._columns[row], self._values[row]
        loop, degree = self._loop[unit], self._degree[unit]
        self._association[source] -= 2 * self._pull[unit, source] + loop
        self._association[module] += 2 * self._pull[unit, module] + loop
        self._volume[source] -= degree
        self._volume[module] += degree
        self._size[source] -= 1
        self._size[module] += 1
        self._pull[neighbours, source] -= values
        self._pull[neighbours, module] += values
        # A self-loop is no pull of another unit.
        self._pull[unit, source] += loop
        self._pull[unit, module] -= loop
        self.labels[unit] = module


def _ratio(association: Floats, volume: Floats) -> Floats:
    """A module without volume counts as if all of it were cut."""
    # Subtractions leave rounding where there is nothing.
    has_volume = volume > _LEAST_GAIN
    ratio: Floats = numpy.where(has_volume, association / numpy.where(has_volume, volume, 1.0), 0.0)
    return ratio


def _sums(labels: Ints, values: Floats, num_modules: int) -> Floats:
    sums: Floats = numpy.bincount(labels, values, minlength=num_modules).astype(numpy.float64)
    return sums
