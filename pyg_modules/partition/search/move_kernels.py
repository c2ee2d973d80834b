"""Moves of single units, compiled by numba where it is installed.

The normalized cut of K modules is 1 - (sum of ratios) / K, with the ratio of a module its
association, the affinity inside it, over its volume, the affinity around it. Gains are those of the
sum of ratios. What a unit has to do with the modules is read off its row when it is needed, so that
the memory is that of the graph.

Without numba the innermost loops are those of :mod:`.array_kernels`. All that is compiled is in
this file, by whose time and size numba knows whether what it kept is still right.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from pyg_modules import _numba
from pyg_modules._arrays import Floats, Ints
from pyg_modules.partition.search import array_kernels
from pyg_modules.partition.search.array_kernels import ROUNDING

IS_COMPILED = _numba.is_usable()
if IS_COMPILED:
    njit = _numba.njit(nogil=True, error_model="numpy")
    # For a largest value, which is the same in any order: several numbers at once.
    njit_in_any_order = _numba.njit(
        nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "reassoc"}
    )
else:

    def njit(function):
        """The function on arrays in the place of a loop, or as it is where there is none."""
        return getattr(array_kernels, function.__name__, function)

    njit_in_any_order = njit


class Graph(NamedTuple):
    """Affinities ``[n, n]`` by rows, and of every unit what does not change.

    Attributes:
        starts: Where the rows start, ``[n + 1]``.
        columns: Units, ``[nnz]``, int32.
        values: Affinities, ``[nnz]``.
        degree: Sums of the rows, ``[n]``.
        loop: The diagonal, ``[n]``.
        num_members: How many units of the finest graph each is, ``[n]``.
        classes: Class of every unit, ``[n]``.
    """

    starts: Ints
    columns: NDArray[numpy.int32]
    values: Floats
    degree: Floats
    loop: Floats
    num_members: Ints
    classes: Ints


class Modules(NamedTuple):
    """The module of every unit, ``[n]``, and what follows of it for the modules.

    Attributes:
        labels: Module of every unit, ``[n]``.
        size: Units of every class and module, ``[C, K]``.
        volume: Of every module, ``[K]``.
        association: Of every module, ``[K]``.
        smallest: The least sizes, ``[C, K]``.
        largest: The greatest sizes, ``[C, K]``.
    """

    labels: Ints
    size: Ints
    volume: Floats
    association: Floats
    smallest: Ints
    largest: Ints


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
def pull_of(unit, graph, labels, pull):
    """Write the affinity of ``unit`` to the other units of every module into ``pull``, [K]."""
    pull[:] = 0
    for edge in range(graph.starts[unit], graph.starts[unit + 1]):
        other = graph.columns[edge]
        if other != unit:
            pull[labels[other]] += graph.values[edge]


@njit
def out_of_bounds(class_, modules):
    """Whether a module has too many units of a class, and whether one has too few."""
    above, below = False, False
    for module in range(modules.size.shape[1]):
        above |= modules.size[class_, module] > modules.largest[class_, module]
        below |= modules.size[class_, module] < modules.smallest[class_, module]
    return above, below


@njit
def may_leave(unit, above, graph, modules):
    """Whether ``unit`` may leave its module, if one is ``above`` its bound only from there."""
    class_, own = graph.classes[unit], modules.labels[unit]
    size = modules.size[class_, own]
    if above:
        return size > modules.largest[class_, own]
    return size - graph.num_members[unit] >= modules.smallest[class_, own]


@njit
def best_module(unit, below, pull, graph, modules):
    """Where ``unit`` gains most, if a module is ``below`` its bound only there, and what."""
    class_, own, count = graph.classes[unit], modules.labels[unit], graph.num_members[unit]
    degree, loop = graph.degree[unit], graph.loop[unit]
    best, target = -numpy.inf, -1
    for module in range(len(pull)):
        size = modules.size[class_, module]
        if below:
            has_room = size < modules.smallest[class_, module]
        else:
            has_room = size + count <= modules.largest[class_, module]
        if has_room and module != own:
            association, volume = modules.association[module], modules.volume[module]
            gain = ratio(association + 2 * pull[module] + loop, volume + degree)
            gain -= ratio(association, volume)
            if gain > best:
                best, target = gain, module
    association, volume = modules.association[own], modules.volume[own]
    best += ratio(association - 2 * pull[own] - loop, volume - degree) - ratio(association, volume)
    return best, target


@njit
def move(unit, module, pull_of_own, pull_of_module, graph, modules):
    """Move ``unit`` to ``module``."""
    class_, own = graph.classes[unit], modules.labels[unit]
    modules.association[own] -= 2 * pull_of_own + graph.loop[unit]
    modules.association[module] += 2 * pull_of_module + graph.loop[unit]
    modules.volume[own] -= graph.degree[unit]
    modules.volume[module] += graph.degree[unit]
    modules.size[class_, own] -= graph.num_members[unit]
    modules.size[class_, module] += graph.num_members[unit]
    modules.labels[unit] = module


@njit
def sweep(graph, modules, units, awake, repairs):
    """Move each of ``units`` that is awake to where it gains most; how many moved.

    A unit sleeps after its turn, until a neighbour moves. In a class whose bounds do not hold, only
    moves that bring sizes back are made; if the sweep ``repairs``, at any cost and no others.
    """
    num_classes, num_modules = modules.size.shape
    pull = numpy.zeros(num_modules)
    above = numpy.zeros(num_classes, dtype=numpy.bool_)
    below = numpy.zeros(num_classes, dtype=numpy.bool_)
    for class_ in range(num_classes):
        above[class_], below[class_] = out_of_bounds(class_, modules)
    num_moved = 0
    for position in range(len(units)):
        unit = units[position]
        class_ = graph.classes[unit]
        is_off = above[class_] or below[class_]
        if not awake[unit] or (repairs and not is_off):
            continue
        awake[unit] = False
        if not may_leave(unit, above[class_], graph, modules):
            continue
        pull_of(unit, graph, modules.labels, pull)
        gain, target = best_module(unit, below[class_], pull, graph, modules)
        if target >= 0 and (repairs or gain > ROUNDING):
            move(unit, target, pull[modules.labels[unit]], pull[target], graph, modules)
            num_moved += 1
            if is_off:
                above[class_], below[class_] = out_of_bounds(class_, modules)
            for edge in range(graph.starts[unit], graph.starts[unit + 1]):
                awake[graph.columns[edge]] = True
    return num_moved


@njit
def best_moves(graph, modules, repairs, first, last, target, gain):
    """Write where the units from ``first`` to ``last`` gain most, and what, or minus infinity.

    Where they may move at all, as in :func:`sweep`.
    """
    num_classes, num_modules = modules.size.shape
    pull = numpy.zeros(num_modules)
    above = numpy.zeros(num_classes, dtype=numpy.bool_)
    below = numpy.zeros(num_classes, dtype=numpy.bool_)
    for class_ in range(num_classes):
        above[class_], below[class_] = out_of_bounds(class_, modules)
    for unit in range(first, last):
        class_ = graph.classes[unit]
        gain[unit] = -numpy.inf
        may_move = above[class_] or below[class_] or not repairs
        if may_move and may_leave(unit, above[class_], graph, modules):
            pull_of(unit, graph, modules.labels, pull)
            gain[unit], target[unit] = best_module(unit, below[class_], pull, graph, modules)


@njit
def exchange(graph, modules, units, others, gains, gains_of_others):
    """Let ``units`` of a module and ``others`` of another change places in pairs; how many did.

    All are of one class, count the same, and come with the gains they had alone, the largest first.
    """
    pull = numpy.zeros(modules.size.shape[1])
    volume, association = modules.volume, modules.association
    num_exchanged = 0
    for position in range(min(len(units), len(others))):
        if gains[position] + gains_of_others[position] <= ROUNDING:
            break
        unit, partner = units[position], others[position]
        module, other = modules.labels[unit], modules.labels[partner]
        before = ratio(association[module], volume[module])
        before += ratio(association[other], volume[other])
        pull_of(unit, graph, modules.labels, pull)
        move(unit, other, pull[module], pull[other], graph, modules)
        pull_of(partner, graph, modules.labels, pull)
        move(partner, module, pull[other], pull[module], graph, modules)
        after = ratio(association[module], volume[module])
        after += ratio(association[other], volume[other])
        if after > before + ROUNDING:
            num_exchanged += 1
        else:
            move(partner, other, pull[module], pull[other], graph, modules)
            pull_of(unit, graph, modules.labels, pull)
            move(unit, module, pull[other], pull[module], graph, modules)
    return num_exchanged


@njit
def sum_of_ratios(modules):
    """What is maximised."""
    total = 0.0
    for module in range(len(modules.volume)):
        total += ratio(modules.association[module], modules.volume[module])
    return total


@njit
def fill_table(module, graph, modules, table):
    """Write the gains of all units that join or leave ``module``."""
    association, volume = modules.association[module], modules.volume[module]
    now = ratio(association, volume)
    pull, joined = table.pull[module], table.joined[module]
    for unit in range(len(modules.labels)):
        is_inside = modules.labels[unit] == module
        sign = -1.0 if is_inside else 1.0
        added = association + sign * (2 * pull[unit] + graph.loop[unit])
        # Without a branch, several units at once.
        gain = ratio(added, volume + sign * graph.degree[unit]) - now
        table.left[unit] = gain if is_inside else table.left[unit]
        joined[unit] = -numpy.inf if is_inside else gain


@njit
def shift_pulls(unit, own, module, graph, table):
    """The neighbours of ``unit`` are pulled to ``module``, no longer to ``own``."""
    for edge in range(graph.starts[unit], graph.starts[unit + 1]):
        other = graph.columns[edge]
        if other != unit:
            table.pull[own, other] -= graph.values[edge]
            table.pull[module, other] += graph.values[edge]


@njit_in_any_order
def largest_sum(one, other):
    """The largest of the sums of two arrays, which hold no NaN."""
    largest = -numpy.inf
    for position in range(len(one)):
        largest = max(largest, one[position] + other[position])
    return largest


@njit
def best_of_table(now, off, above, below, slack, graph, modules, table):
    """The unit and the module of the best move at step ``now``, or -1 and -1.

    Sizes may be out of their bounds by ``slack``; if those of the class ``off`` are, a module of
    it ``above`` or ``below``, only moves that bring them back are allowed.
    """
    num_modules, num_units = table.pull.shape
    less, more = (0 if below else slack), (0 if above else slack)
    left = numpy.empty(num_units)
    for unit in range(num_units):
        class_, own = graph.classes[unit], modules.labels[unit]
        size = modules.size[class_, own]
        if above:
            can_leave = size > modules.largest[class_, own]
        else:
            can_leave = size - graph.num_members[unit] >= modules.smallest[class_, own] - less
        is_free = table.rests_until[unit] <= now and (off < 0 or class_ == off)
        left[unit] = table.left[unit] if can_leave and is_free else -numpy.inf
    best, best_unit, target = -numpy.inf, -1, -1
    for module in range(num_modules):
        joined = table.joined[module]
        if largest_sum(joined, left) <= best:
            continue
        for unit in range(num_units):
            gain = joined[unit] + left[unit]
            if gain > best:
                class_ = graph.classes[unit]
                size = modules.size[class_, module]
                if below:
                    has_room = size < modules.smallest[class_, module]
                else:
                    has_room = (
                        size + graph.num_members[unit] <= modules.largest[class_, module] + more
                    )
                if has_room:
                    best, best_unit, target = gain, unit, module
    return best_unit, target


@njit
def roam(graph, modules, table, rests, step, state, best_labels, best, patience):
    """Tabu search for as many steps as ``rests`` has, from ``step`` on; whether it is over.

    ``best_labels``, the best within the bounds that was met, and ``best``, the sum of ratios there,
    are written, and ``state``: the class whose sizes are out of their bounds or -1, the step at
    which the best was met, and by how much sizes may be out of their bounds. It is over after
    ``patience`` steps without a better one.
    """
    slack = state[2]
    for position in range(len(rests)):
        now = step + position
        above, below = False, False
        if state[0] >= 0:
            above, below = out_of_bounds(state[0], modules)
        unit, module = best_of_table(now, state[0], above, below, slack, graph, modules, table)
        if unit >= 0:
            own = modules.labels[unit]
            move(unit, module, table.pull[own, unit], table.pull[module, unit], graph, modules)
            shift_pulls(unit, own, module, graph, table)
            fill_table(own, graph, modules, table)
            fill_table(module, graph, modules, table)
            table.rests_until[unit] = now + rests[position]
            above, below = out_of_bounds(graph.classes[unit], modules)
            state[0] = graph.classes[unit] if above or below else -1
        reached = sum_of_ratios(modules)
        if reached > best[0] + ROUNDING and state[0] < 0:
            best_labels[:] = modules.labels
            best[0], state[1] = reached, now
        elif now > state[1] + patience:
            return True
    return False


@njit
def match(graph, scale, kind, largest_group, order, mate, hub):
    """Write into ``mate`` of each of ``order`` that has none its nearest unit of its kind.

    That which has no mate either, and with which it is no more than ``largest_group`` units; -1 if
    there is none. Into ``hub`` the nearest unit of all, or -1.
    """
    for position in range(len(order)):
        unit = order[position]
        nearest, best, choice = 0.0, 0.0, -1
        for edge in range(graph.starts[unit], graph.starts[unit + 1]):
            other = graph.columns[edge]
            if other != unit:
                nearness = graph.values[edge] * scale[other]
                if nearness > nearest:
                    nearest, hub[unit] = nearness, other
                if nearness > best and mate[unit] < 0 and mate[other] < 0:
                    fits = graph.num_members[unit] + graph.num_members[other] <= largest_group[unit]
                    if fits and kind[unit] == kind[other]:
                        best, choice = nearness, other
        if choice >= 0:
            mate[unit], mate[choice] = choice, unit


@njit
def contract(graph, group, members, member_starts, first, last, place, columns, values, ends):
    """Write the rows of the groups from ``first`` to ``last``, whose ``members`` are together.

    ``place`` keeps where in the row a group is; ``ends`` where the rows end, as far as they are.
    """
    end = ends[first - 1] if first else 0
    for one in range(first, last):
        start = end
        for position in range(member_starts[one], member_starts[one + 1]):
            unit = members[position]
            for edge in range(graph.starts[unit], graph.starts[unit + 1]):
                other = group[graph.columns[edge]]
                if place[other] < start:
                    place[other] = end
                    columns[end], values[end] = other, 0.0
                    end += 1
                values[place[other]] += graph.values[edge]
        ends[one] = end
