"""Partitions in which every module lives: it has a path from an input to an output."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from pyg_modules._arrays import Bools, Floats, Ints
from pyg_modules.graph.reach import Reach
from pyg_modules.partition.liveliness import reach_of
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import Units

_INPUT, _HIDDEN, _OUTPUT = range(3)
# After so many rounds that help nobody, what is dead stays dead; after fewer, where they look at
# more edges than this together.
_PATIENCE, _LEAST_PATIENCE = 100, 3
_MANY_EDGES = 10**6
# Where few dead ones are enough, a share of them that is not lower than this is no progress.
_PROGRESS = 0.9


def admissible(
    units: Units,
    affinity: csr_array[Any],
    labels: Ints,
    bounds: SizeBounds,
    *,
    seed: int,
    enough: int | None = None,
) -> Ints:
    """Labels of which no unit is dead that is not so in the uncut graph, as far as moves find them.

    A unit is alive if it is on a path from an input to an output, inside of its module, that the
    updates of the solver can walk, along edges that are not pruned. Dead ones move, or change
    places with others, to where they are alive; sizes stay within their bounds.

    Args:
        units (Units): What is partitioned.
        affinity (scipy.sparse.csr_array): Of the units, ``[n, n]``.
        labels (numpy.ndarray): Module of every unit, ``[n]``, within the bounds.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of what is tried in which order.
        enough (int, optional): How many dead units are few enough, where as many rounds as it takes
            to give up have to bring a tenth of the others to life. (default: none are, and one is
            worth the rounds)

    Raises:
        DeadModulesError: If a module stays dead.
        ValueError: If no path is short enough for the updates.
    """
    graph = units.layer.graph
    if not graph.num_inputs or not graph.num_outputs:
        return labels
    moves = _Moves(units, affinity, bounds)
    if not moves.may_live.any():
        units.check_reached()
        return labels
    generator = numpy.random.default_rng(seed)
    best, lack = _revived(moves, labels, enough, generator)
    if lack[0]:  # Where few ways lead through, moves alone may not find them.
        best, lack = _revived(moves, moves.with_paths(best), enough, generator)
    moves.check_modules(*lack)
    return best


def _revived(
    moves: _Moves, labels: Ints, enough: int | None, generator: numpy.random.Generator
) -> tuple[Ints, tuple[int, int]]:
    """Labels of which no more is dead than of ``labels``, and the dead modules and units."""
    best, reach = labels, moves.reach(labels)
    lack = began = moves.lack(labels, reach)
    least, progress = ((0, 0), 1.0) if enough is None else ((0, enough), _PROGRESS)
    limit, patience = len(labels), moves.patience
    while lack > least and patience:
        tried = moves.revived(best, reach, limit, generator)
        reached = moves.reach(tried)
        still = moves.lack(tried, reached)
        patience -= 1
        if still <= lack:
            best, reach = tried, reached
        if still < lack:
            lack, limit = still, 2 * limit
            if still[0] < began[0] or still[1] <= progress * began[1]:
                began, patience = still, moves.patience
        else:  # Too many at once stand in each other's way.
            limit = max(1, min(limit, lack[1]) // 2)
    return best, lack


class DeadModulesError(ValueError):
    """No partition was found in which every module has a path from an input to an output."""


class _Moves:
    """Moves of dead units to modules where they live."""

    def __init__(self, units: Units, affinity: csr_array[Any], bounds: SizeBounds) -> None:
        self._units, self._affinity, self._bounds = units, affinity, bounds
        self._graph = units.layer.graph
        self._steps = units.num_updates
        self._members = units.members.cpu().numpy().nonzero()[0]
        self._number = numpy.full(self._graph.num_units, -1)
        self._number[self._members] = numpy.arange(len(self._members))
        self._num_modules = bounds.smallest.shape[1]
        self._role = units.roles()
        self._kept = units.kept_edges
        self.may_live = self._alive(Reach.of(self._graph, self._kept))
        rounds = min(_PATIENCE, _MANY_EDGES // max(1, self._graph.num_edges))
        self.patience = max(_LEAST_PATIENCE, rounds)

    def with_paths(self, labels: Ints) -> Ints:
        """Other labels, by which as many modules as possible have a path of their own.

        Paths go to the modules that have most of their units already.
        """
        paths = [
            numpy.array([self._number[unit] for unit in path if self._number[unit] >= 0])
            for path in self._units.paths(self._num_modules)
        ]
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

    def lack(self, labels: Ints, reach: Reach) -> tuple[int, int]:
        """The number of modules without a unit that lives, and that of dead units."""
        alive = self._alive(reach)
        num_living = len(numpy.unique(labels[alive]))
        return self._num_modules - num_living, int((self.may_live & ~alive).sum())

    def revived(
        self, labels: Ints, reach: Reach, limit: int, generator: numpy.random.Generator
    ) -> Ints:
        """Other labels, of which fewer units are probably dead; at most ``limit`` of them move."""
        labels = labels.copy()
        everyone = numpy.arange(len(labels))
        members = csr_array(
            (numpy.ones(len(labels)), (everyone, labels)), shape=(len(labels), self._num_modules)
        )
        pull = (self._affinity @ members).toarray()
        if self._units.owns_inputs:
            self._share_roles(labels, pull)
            reach = self.reach(labels)
        fits, dead = self._fits(labels, reach), self.may_live & ~self._alive(reach)
        for unit in generator.permutation(dead.nonzero()[0])[:limit]:
            own = labels[unit]
            replaceable = (self._role == _HIDDEN) & (fits[:, own] | dead)
            modules = fits[unit].nonzero()[0]
            for module in modules[(-pull[unit, modules]).argsort(kind="stable")]:
                if module != own and self._bring(unit, module, labels, replaceable, pull):
                    break
            else:  # No module would do: a neighbour that lives comes to it.
                self._accompany(unit, labels, dead, pull, generator)
        return labels

    def _accompany(
        self, unit: int, labels: Ints, dead: Bools, pull: Floats, generator: numpy.random.Generator
    ) -> None:
        """Move a neighbour that lives to the module of a unit."""
        row = slice(self._affinity.indptr[unit], self._affinity.indptr[unit + 1])
        neighbours = self._affinity.indices[row]
        others = neighbours[(labels[neighbours] != labels[unit]) & ~dead[neighbours]]
        if len(others):
            replaceable = (self._role == _HIDDEN) & (numpy.arange(len(labels)) != unit)
            self._bring(int(generator.choice(others)), int(labels[unit]), labels, replaceable, pull)

    def check_modules(self, num_dead_modules: int, num_dead: int) -> None:
        """Raise if there are modules without a unit that lives."""
        if num_dead_modules:
            within = "" if self._steps is None else f" that {self._steps} updates can walk"
            scope = self._units.scope
            raise DeadModulesError(
                f"Expected {self._num_modules} modules, each with a path from an input to an output"
                f"{within} (got none for {num_dead_modules} of them; of the"
                f" {len(self._members)} units that scope={scope!r} partitions, {num_dead} would"
                f" take no part). Use fewer modules, a graph with more edges, a solver with more"
                f" steps" + (", or scope='hidden'." if self._units.owns_inputs else ".")
            )

    def _alive(self, reach: Reach) -> Bools:
        """Which units, other than inputs, are on a path, ``[n]``."""
        alive = reach.is_alive(self._steps)[self._members] & (self._role != _INPUT)
        return numpy.asarray(alive)

    def reach(self, labels: Ints) -> Reach:
        """That of the units along the edges that a cut leaves."""
        of_all = self._units.labels_of_all(torch.from_numpy(labels)).cpu()
        return reach_of(self._graph, of_all, self._kept)

    def _fits(self, labels: Ints, reach: Reach) -> Bools:
        """Whether a unit would live in a module, with all others where they are, ``[n, K]``."""
        edge_index = self._graph.edge_index
        kept = edge_index if self._kept is None else edge_index[:, self._kept]
        source, target = kept.numpy()
        shared_inputs = range(0) if self._units.owns_inputs else self._graph.inputs
        shared_outputs = range(0) if self._units.owns_outputs else self._graph.outputs
        from_inputs = self._nearest(labels, target, source, reach.from_inputs, shared_inputs)
        to_outputs = self._nearest(labels, source, target, reach.to_outputs, shared_outputs)
        from_inputs[self._role == _INPUT] = to_outputs[self._role == _OUTPUT] = 0
        return Reach(from_inputs, to_outputs).is_alive(self._steps)

    def _nearest(
        self, labels: Ints, unit: Ints, neighbour: Ints, distance: Floats, shared: range
    ) -> Floats:
        """One more than the least distance of neighbours that are in a module, ``[n, K]``."""
        nearest = numpy.full((len(labels), self._num_modules), numpy.inf)
        row, column = self._number[unit], self._number[neighbour]
        inside = (row >= 0) & (column >= 0)
        cells = row[inside], labels[column[inside]]
        numpy.minimum.at(nearest, cells, distance[neighbour[inside]] + 1)
        of_shared = (row >= 0) & (neighbour >= shared.start) & (neighbour < shared.stop)
        nearest[row[of_shared]] = 1
        return nearest

    def _share_roles(self, labels: Ints, pull: Floats) -> None:
        """Give every module units of every role that is partitioned, where there are enough."""
        everyone = numpy.arange(len(labels))
        for role in (_INPUT, _HIDDEN, _OUTPUT):
            for module in range(self._num_modules):
                # How many of its role a unit has in its module.
                alike = numpy.zeros((3, self._num_modules), dtype=numpy.int64)
                numpy.add.at(alike, (self._role, labels), 1)
                spare = alike[self._role, labels] > 1
                donors = (self._role == role) & spare
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
        bounds, own = self._bounds, labels[unit]
        kind = bounds.classes[unit]
        same = bounds.classes == kind
        size = numpy.bincount(labels[same], minlength=self._num_modules)
        has_room = size[module] < bounds.largest[kind, module]
        if has_room and size[own] > bounds.smallest[kind, own]:
            labels[unit] = module
            return True
        others = (same & replaceable & (labels == module)).nonzero()[0]
        if not len(others):
            return False
        partner = others[(pull[others, own] - pull[others, module]).argmax()]
        labels[unit], labels[partner] = module, own
        return True
