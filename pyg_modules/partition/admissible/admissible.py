"""Partitions in which every module lives: it has a path from an input to an output."""

from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Ints
from pyg_modules.partition.admissible.bulk_moves import BulkMoves
from pyg_modules.partition.admissible.exchanges import Exchanges
from pyg_modules.partition.admissible.living import Living
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import Units

# After so many rounds that help nobody, moves of many units end: after fewer, where they look at
# more edges than this together.
_PATIENCE, _LEAST_PATIENCE = 100, 3
_MANY_EDGES = 10**6
# So do exchanges, which are cheap; sooner where few dead ones are enough.
_PATIENCE_OF_EXCHANGES, _WHERE_FEW_ARE_ENOUGH = 1000, 30
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
    living = Living(units, bounds.smallest.shape[1])
    if not living.may_live.any():
        units.check_reached()
        return labels
    moves, generator = BulkMoves(living, affinity, bounds), numpy.random.default_rng(seed)
    rounds = _MANY_EDGES // max(1, graph.num_edges)
    patience = max(_LEAST_PATIENCE, min(_PATIENCE, rounds))
    least, progress = (0, 1.0) if enough is None else (enough, _PROGRESS)
    labels = _revived(moves, living, labels, least, progress, patience, generator)
    if _lack(living, labels)[0]:  # Where few ways lead through, moves alone may not find them.
        labels = moves.with_paths(labels)
        labels = _revived(moves, living, labels, least, progress, patience, generator)
    lack = _lack(living, labels)
    if lack > (0, least) and rounds:
        exchanges = Exchanges(living, affinity, bounds)
        most = _PATIENCE_OF_EXCHANGES if enough is None else _WHERE_FEW_ARE_ENOUGH
        labels = exchanges.revived(labels, least, progress, min(most, rounds), generator)
        lack = _lack(living, labels)
    if lack[0]:
        raise _dead_modules(living, *lack)
    return labels


def _revived(
    moves: BulkMoves,
    living: Living,
    labels: Ints,
    least: int,
    progress: float,
    patience: int,
    generator: numpy.random.Generator,
) -> Ints:
    """Labels by which no more is dead than by ``labels``."""
    best, reach = labels, living.reach(labels)
    lack = began = living.lack(labels, living.alive(reach))
    limit, left = len(labels), patience
    while lack > (0, least) and left:
        tried = moves.revived(best, reach, limit, generator)
        reached = living.reach(tried)
        still = living.lack(tried, living.alive(reached))
        left -= 1
        if still <= lack:
            best, reach = tried, reached
        if still < lack:
            lack, limit = still, 2 * limit
            if still[0] < began[0] or still[1] <= progress * began[1]:
                began, left = still, patience
        else:  # Too many at once stand in each other's way.
            limit = max(1, min(limit, lack[1]) // 2)
    return best


def _lack(living: Living, labels: Ints) -> tuple[int, int]:
    """The numbers of dead modules and units."""
    return living.lack(labels, living.alive(living.reach(labels)))


class DeadModulesError(ValueError):
    """No partition was found in which every module has a path from an input to an output."""


def _dead_modules(living: Living, num_modules: int, num_units: int) -> DeadModulesError:
    """What is said where so many modules and units are dead."""
    units, steps = living.units, living.steps
    within = "" if steps is None else f" that {steps} updates can walk"
    return DeadModulesError(
        f"Expected {living.num_modules} modules, each with a path from an input to an output"
        f"{within} (got none for {num_modules} of them; of the {len(units)} units that"
        f" scope={units.scope!r} partitions, {num_units} would take no part). Use fewer"
        f" modules, a graph with more edges, a solver with more steps"
        + (", or scope='hidden'." if units.owns_inputs else ".")
    )
