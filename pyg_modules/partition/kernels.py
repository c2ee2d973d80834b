"""Moves of single units, compiled by numba where it is installed, else as plain Python.

The normalized cut of K modules is 1 - (sum of ratios) / K, with the ratio of a module its
association, the affinity inside it, over its volume, the affinity around it. Gains are those of the
sum of ratios. What a unit has to do with the modules is read off its row when it is needed, so that
the memory is that of the graph.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

Ints = NDArray[numpy.int64]
Floats = NDArray[numpy.float64]

try:
    import numba
except ImportError:  # Also where it does not fit the installed NumPy.
    IS_COMPILED = False

    def njit(function):
        """The function as it is."""
        return function
else:
    IS_COMPILED = True
    njit = numba.njit(cache=True, nogil=True, error_model="numpy")

#: Gains and volumes below this are rounding, at a mean degree of 1.
ROUNDING = 1e-12


class Graph(NamedTuple):
    """Affinities ``[n, n]`` by rows, and of every unit what does not change.

    Attributes:
        starts: Where the rows start, ``[n + 1]``.
        columns: Units, ``[nnz]``, int32.
        values: Affinities, ``[nnz]``.
        degree: Sums of the rows, ``[n]``.
        loop: The diagonal, ``[n]``.
        count: How many units of the finest graph each is, ``[n]``.
    """

    starts: Ints
    columns: NDArray[numpy.int32]
    values: Floats
    degree: Floats
    loop: Floats
    count: Ints


class Modules(NamedTuple):
    """The module of every unit, ``[n]``, and what follows of it for the modules, ``[K]`` each."""

    labels: Ints
    size: Ints
    volume: Floats
    association: Floats


class Table(NamedTuple):
    """What :func:`roam` keeps of all units for all modules, ``[K, n]``, and of their own, ``[n]``.

    Attributes:
        pull: Affinity to the other units of a module.
        joined: By how much the ratio of a module grows if the unit joins it; minus infinity for its
            own.
        left: By how much the ratio of its own module grows if the unit leaves it.
        rests_until: The step before which it does not move.
    """

    pull: Floats
    joined: Floats
    left: Floats
    rests_until: Ints


@njit
def ratio(association, volume):
    """A module without volume counts as if all of it were cut."""
    return association / volume if volume > ROUNDING else 0.0


@njit
def ratios(association, volume):
    """The same of arrays."""
    return (volume > ROUNDING) * association / numpy.maximum(volume, ROUNDING)


@njit
def pull_of(unit, graph, labels, pull):
    """Write the affinity of ``unit`` to the other units of every module into ``pull``, [K]."""
    pull[:] = 0
    for edge in range(graph.starts[unit], graph.starts[unit + 1]):
        other = graph.columns[edge]
        if other != unit:
            pull[labels[other]] += graph.values[edge]


@njit
def gain_of_leaving(unit, pull, graph, modules):
    """By how much the ratio of its module grows if ``unit`` leaves it."""
    own = modules.labels[unit]
    association = modules.association[own] - 2 * pull - graph.loop[unit]
    left = ratio(association, modules.volume[own] - graph.degree[unit])
    return left - ratio(modules.association[own], modules.volume[own])


@njit
def gain_of_joining(unit, module, pull, graph, modules):
    """By how much the ratio of ``module`` grows if ``unit`` joins it."""
    association = modules.association[module] + 2 * pull + graph.loop[unit]
    joined = ratio(association, modules.volume[module] + graph.degree[unit])
    return joined - ratio(modules.association[module], modules.volume[module])


@njit
def move(unit, module, pull_of_own, pull_of_module, graph, modules):
    """Move ``unit`` to ``module``."""
    own = modules.labels[unit]
    modules.association[own] -= 2 * pull_of_own + graph.loop[unit]
    modules.association[module] += 2 * pull_of_module + graph.loop[unit]
    modules.volume[own] -= graph.degree[unit]
    modules.volume[module] += graph.degree[unit]
    modules.size[own] -= graph.count[unit]
    modules.size[module] += graph.count[unit]
    modules.labels[unit] = module


@njit
def out_of_bounds(size, smallest, largest):
    """Whether a module is above its bound, and whether one is below."""
    above, below = False, False
    for module in range(len(size)):
        above |= size[module] > largest[module]
        below |= size[module] < smallest[module]
    return above, below


@njit
def sweep(graph, modules, smallest, largest, units, awake, repairs):
    """Move each of ``units`` that is awake to where it gains most; how many moved.

    A unit sleeps after its turn, until a neighbour moves. Where the bounds do not hold, only moves
    that bring sizes back are made; if the sweep ``repairs``, at any cost and no others.
    """
    num_modules = len(smallest)
    pull = numpy.zeros(num_modules)
    above, below = out_of_bounds(modules.size, smallest, largest)
    num_moved = 0
    for position in range(len(units)):
        unit = units[position]
        own, count = modules.labels[unit], graph.count[unit]
        if repairs and not above and not below:
            break
        if not awake[unit]:
            continue
        awake[unit] = False
        if above:
            may_lose = modules.size[own] > largest[own]
        else:
            may_lose = modules.size[own] - count >= smallest[own]
        if not may_lose:
            continue
        pull_of(unit, graph, modules.labels, pull)
        left = gain_of_leaving(unit, pull[own], graph, modules)
        best, target = -numpy.inf if repairs else ROUNDING, -1
        for module in range(num_modules):
            size = modules.size[module]
            if below:
                has_room = size < smallest[module]
            else:
                has_room = size + count <= largest[module]
            if has_room and module != own:
                gain = left + gain_of_joining(unit, module, pull[module], graph, modules)
                if gain > best:
                    best, target = gain, module
        if target >= 0:
            move(unit, target, pull[own], pull[target], graph, modules)
            num_moved += 1
            if above or below:
                above, below = out_of_bounds(modules.size, smallest, largest)
            for edge in range(graph.starts[unit], graph.starts[unit + 1]):
                awake[graph.columns[edge]] = True
    return num_moved


@njit
def best_moves(graph, modules, may_lose, may_gain, first, last, target, gain):
    """Write where the units from ``first`` to ``last`` gain most, and what, or minus infinity."""
    num_modules = len(modules.size)
    pull = numpy.zeros(num_modules)
    for unit in range(first, last):
        own = modules.labels[unit]
        gain[unit] = -numpy.inf
        if may_lose[own]:
            pull_of(unit, graph, modules.labels, pull)
            left = gain_of_leaving(unit, pull[own], graph, modules)
            for module in range(num_modules):
                if may_gain[module] and module != own:
                    joined = gain_of_joining(unit, module, pull[module], graph, modules)
                    if left + joined > gain[unit]:
                        gain[unit], target[unit] = left + joined, module


def best_moves_of_rows(graph, modules, may_lose, may_gain, first, last, target, gain):
    """The same without a loop, for where it is not compiled."""
    num_modules = len(modules.size)
    own, degree = modules.labels[first:last], graph.degree[first:last, None]
    loop, row = graph.loop[first:last, None], numpy.arange(last - first)
    edges = slice(graph.starts[first], graph.starts[last])
    owner = numpy.repeat(row, numpy.diff(graph.starts[first : last + 1]))
    cell = owner * num_modules + modules.labels[graph.columns[edges]]
    pull = numpy.bincount(cell, graph.values[edges], len(row) * num_modules)
    pull = pull.reshape(-1, num_modules)
    pull[row, own] -= loop[:, 0]
    now = ratios(modules.association, modules.volume)
    left = ratios(
        modules.association[own] - 2 * pull[row, own] - loop[:, 0],
        modules.volume[own] - degree[:, 0],
    )
    joined = ratios(modules.association + 2 * pull + loop, modules.volume + degree) - now
    joined[:, ~may_gain] = -numpy.inf
    joined[row, own] = -numpy.inf
    target[first:last] = joined.argmax(axis=1)
    best = left - now[own] + joined.max(axis=1)
    gain[first:last] = numpy.where(may_lose[own], best, -numpy.inf)


@njit
def exchange(graph, modules, module, other, units, others, gains, gains_of_others):
    """Let ``units`` of ``module`` and those of ``other`` change places in pairs; how many did.

    Both come with the gains they had alone, the largest first.
    """
    pull = numpy.zeros(len(modules.size))
    num_exchanged = 0
    for position in range(min(len(units), len(others))):
        if gains[position] + gains_of_others[position] <= ROUNDING:
            break
        unit, partner = units[position], others[position]
        before = ratio(modules.association[module], modules.volume[module])
        before += ratio(modules.association[other], modules.volume[other])
        pull_of(unit, graph, modules.labels, pull)
        move(unit, other, pull[module], pull[other], graph, modules)
        pull_of(partner, graph, modules.labels, pull)
        move(partner, module, pull[other], pull[module], graph, modules)
        after = ratio(modules.association[module], modules.volume[module])
        after += ratio(modules.association[other], modules.volume[other])
        if after > before + ROUNDING:
            num_exchanged += 1
        else:
            pull_of(partner, graph, modules.labels, pull)
            move(partner, other, pull[module], pull[other], graph, modules)
            pull_of(unit, graph, modules.labels, pull)
            move(unit, module, pull[other], pull[module], graph, modules)
    return num_exchanged


@njit
def sum_of_ratios(modules):
    """What is maximised."""
    total = 0.0
    for module in range(len(modules.size)):
        total += ratio(modules.association[module], modules.volume[module])
    return total


@njit
def fill_table(module, graph, modules, table):
    """Write the gains of all units that join or leave ``module``."""
    association, volume = modules.association[module], modules.volume[module]
    now = ratio(association, volume)
    is_own = modules.labels == module
    added = 2 * table.pull[module] + graph.loop
    more, less = volume + graph.degree, volume - graph.degree
    joined = ratios(association + added, more) - now
    left = ratios(association - added, less) - now
    table.joined[module] = numpy.where(is_own, -numpy.inf, joined)
    table.left[:] = numpy.where(is_own, left, table.left)


@njit
def roam(graph, modules, smallest, largest, table, rests, step, best_labels, best, patience):
    """Tabu search for as many steps as ``rests`` has, from ``step`` on.

    Args:
        best_labels: The best partition within the bounds that was met, ``[n]``; it is written.
        best: The sum of ratios there, and the step at which it was met, both as floats; it is
            written.
        patience: After how many steps without a better one the search is over.

    Returns:
        bool: Whether it is over.
    """
    for position in range(len(rests)):
        now = step + position
        above, below = out_of_bounds(modules.size, smallest, largest)
        # Off by one on the way, so that units can change places; else only back.
        may_lose = modules.size > (largest if above else smallest - (not below))
        may_gain = modules.size < (smallest if below else largest + (not above))
        may_move = may_lose[modules.labels] & (table.rests_until <= now)
        allowed = may_gain.reshape(-1, 1) & may_move
        gains = numpy.where(allowed, table.joined + table.left, -numpy.inf)
        module, unit = divmod(gains.argmax(), len(modules.labels))
        if gains[module, unit] > -numpy.inf:
            own = modules.labels[unit]
            move(unit, module, table.pull[own, unit], table.pull[module, unit], graph, modules)
            for edge in range(graph.starts[unit], graph.starts[unit + 1]):
                other = graph.columns[edge]
                if other != unit:
                    table.pull[own, other] -= graph.values[edge]
                    table.pull[module, other] += graph.values[edge]
            fill_table(own, graph, modules, table)
            fill_table(module, graph, modules, table)
            table.rests_until[unit] = now + rests[position]
        reached = sum_of_ratios(modules)
        above, below = out_of_bounds(modules.size, smallest, largest)
        if reached > best[0] + ROUNDING and not above and not below:
            best_labels[:] = modules.labels
            best[0], best[1] = reached, now
        elif now > best[1] + patience:
            return True
    return False
