"""Many units at a time move to modules where they probably live."""

from __future__ import annotations

from typing import Any

import numpy
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from pyg_modules._arrays import Bools, Floats, Ints
from pyg_modules.graph.reach import Reach
from pyg_modules.partition.admissible.living import Living
from pyg_modules.partition.search.links import affinity_to_modules
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import HIDDEN, INPUT, OUTPUT


class BulkMoves:
    """Moves of dead units to modules where they live, many at a time.

    Args:
        living (Living): Who lives.
        affinity (scipy.sparse.csr_array): Of the units, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
    """

    def __init__(self, living: Living, affinity: csr_array[Any], bounds: SizeBounds) -> None:
        self._living, self._affinity, self._bounds = living, affinity, bounds
        self._units, self._num_modules = living.units, living.num_modules

    def with_paths(self, labels: Ints) -> Ints:
        """Other labels, by which as many modules as possible have a path of their own.

        Paths go to the modules that have most of their units already.
        """
        numbers = (self._living.number[path] for path in self._units.paths(self._num_modules))
        paths = [path[path >= 0] for path in numbers]
        if not paths:
            return labels
        has = numpy.stack([numpy.bincount(labels[p], minlength=self._num_modules) for p in paths])
        labels, is_placed = labels.copy(), numpy.zeros(len(labels), dtype=bool)
        pull = numpy.zeros((len(labels), self._num_modules))
        chosen = list(zip(*linear_sum_assignment(has, maximize=True), strict=True))
        for number, module in chosen:
            path = paths[number]
            is_placed[path[labels[path] == module]] = True
        for number, module in chosen:
            for unit in paths[number][~is_placed[paths[number]]]:
                is_placed[unit] = self._bring(unit, module, labels, ~is_placed, pull)
        return labels

    def revived(
        self, labels: Ints, reach: Reach, limit: int, generator: numpy.random.Generator
    ) -> Ints:
        """Other labels, of which fewer units are probably dead; at most ``limit`` of them move."""
        labels = labels.copy()
        pull = affinity_to_modules(self._affinity, labels, self._num_modules)
        if self._units.owns_inputs:
            self._share_roles(labels, pull)
            reach = self._living.reach(labels)
        fits, dead = self._fits(labels, reach), self._living.may_live & ~self._living.alive(reach)
        for unit in generator.permutation(dead.nonzero()[0])[:limit]:
            own = labels[unit]
            replaceable = (self._living.role == HIDDEN) & (fits[:, own] | dead)
            modules = fits[unit].nonzero()[0]
            for module in modules[(-pull[unit, modules]).argsort(kind="stable")]:
                if module != own and self._bring(unit, module, labels, replaceable, pull):
                    break
        return labels

    def _fits(self, labels: Ints, reach: Reach) -> Bools:
        """Whether a unit would live in a module, with all others where they are, ``[n, K]``."""
        source, target, graph = self._living.source, self._living.target, self._living.graph
        shared_inputs = range(0) if self._units.owns_inputs else graph.inputs
        shared_outputs = range(0) if self._units.owns_outputs else graph.outputs
        from_inputs = self._nearest(labels, target, source, reach.from_inputs, shared_inputs)
        to_outputs = self._nearest(labels, source, target, reach.to_outputs, shared_outputs)
        from_inputs[self._living.role == INPUT] = to_outputs[self._living.role == OUTPUT] = 0
        return Reach(from_inputs, to_outputs).is_alive(self._living.steps)

    def _nearest(
        self, labels: Ints, unit: Ints, neighbour: Ints, distance: Floats, shared: range
    ) -> Floats:
        """One more than the least distance of neighbours that are in a module, ``[n, K]``."""
        nearest = numpy.full((len(labels), self._num_modules), numpy.inf)
        row, column = self._living.number[unit], self._living.number[neighbour]
        inside = (row >= 0) & (column >= 0)
        cells = row[inside], labels[column[inside]]
        numpy.minimum.at(nearest, cells, distance[neighbour[inside]] + 1)
        of_shared = (row >= 0) & (neighbour >= shared.start) & (neighbour < shared.stop)
        nearest[row[of_shared]] = 1
        return nearest

    def _share_roles(self, labels: Ints, pull: Floats) -> None:
        """Give every module units of every role that is partitioned, where there are enough."""
        everyone = numpy.arange(len(labels))
        for role in (INPUT, HIDDEN, OUTPUT):
            for module in range(self._num_modules):
                # How many of its role a unit has in its module.
                alike = numpy.zeros((3, self._num_modules), dtype=numpy.int64)
                numpy.add.at(alike, (self._living.role, labels), 1)
                spare = alike[self._living.role, labels] > 1
                donors = (self._living.role == role) & spare
                if alike[role, module] or not donors.any():
                    continue
                gain = pull[:, module] - pull[everyone, labels]
                for unit in numpy.where(donors, gain, -numpy.inf).argsort()[::-1][: donors.sum()]:
                    if self._bring(unit, module, labels, spare, pull):
                        break

    def _bring(
        self, unit: int, module: int, labels: Ints, replaceable: Bools, pull: Floats
    ) -> bool:
        """Move a unit to a module, in exchange for another if there is no room; whether it did."""
        own = labels[unit]
        if self._bounds.has_room(labels, *numpy.array([[unit], [module]]))[0]:
            labels[unit] = module
            return True
        same = self._bounds.classes == self._bounds.classes[unit]
        others = (same & replaceable & (labels == module)).nonzero()[0]
        if not len(others):
            return False
        partner = others[(pull[others, own] - pull[others, module]).argmax()]
        labels[unit], labels[partner] = module, own
        return True
