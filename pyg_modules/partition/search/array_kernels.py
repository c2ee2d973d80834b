"""The innermost loops of :mod:`.move_kernels` on arrays, where numba is absent."""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy

#: Gains and volumes below this are rounding, at a mean degree of 1.
ROUNDING = 1e-12


def ratios(association, volume):
    """Of many modules; those without volume count as if all of them were cut."""
    return (volume > ROUNDING) * association / numpy.maximum(volume, ROUNDING)


def sum_of_ratios(modules):
    """What is maximised."""
    return ratios(modules.association, modules.volume).sum()


def out_of_bounds(class_, modules):
    """Whether a module has too many units of a class, and whether one has too few."""
    size = modules.size[class_]
    return (size > modules.largest[class_]).any(), (size < modules.smallest[class_]).any()


def pull_of(unit, graph, labels, pull):
    """Write the affinity of ``unit`` to the other units of every module into ``pull``, [K]."""
    row = slice(graph.starts[unit], graph.starts[unit + 1])
    pull[:] = numpy.bincount(labels[graph.columns[row]], graph.values[row], len(pull))
    pull[labels[unit]] -= graph.loop[unit]


def best_module(unit, below, pull, graph, modules):
    """Where ``unit`` gains most, if a module is ``below`` its bound only there, and what."""
    class_, own, degree = graph.classes[unit], modules.labels[unit], graph.degree[unit]
    size = modules.size[class_]
    if below:
        has_room = size < modules.smallest[class_]
    else:
        has_room = size + graph.num_members[unit] <= modules.largest[class_]
    added = 2 * pull + graph.loop[unit]
    now = ratios(modules.association, modules.volume)
    gain = ratios(modules.association + added, modules.volume + degree) - now
    gain[~has_room] = -numpy.inf
    gain[own] = -numpy.inf
    target = int(gain.argmax())
    left = ratios(modules.association[own] - added[own], modules.volume[own] - degree)
    best = gain[target] + left - now[own]
    return best, target if best > -numpy.inf else -1


def best_moves(graph, modules, repairs, first, last, target, gain):
    """Write where the units from ``first`` to ``last`` gain most, and what, or minus infinity."""
    num_modules = len(modules.volume)
    own, degree = modules.labels[first:last], graph.degree[first:last, None]
    loop, row = graph.loop[first:last, None], numpy.arange(last - first)
    count, class_ = graph.num_members[first:last, None], graph.classes[first:last]
    edges = slice(graph.starts[first], graph.starts[last])
    owner = numpy.repeat(row, numpy.diff(graph.starts[first : last + 1]))
    cell = owner * num_modules + modules.labels[graph.columns[edges]]
    pull = numpy.bincount(cell, graph.values[edges], len(row) * num_modules)
    # Of no edges NumPy counts integers.
    pull = pull.reshape(-1, num_modules).astype(numpy.float64, copy=False)
    pull[row, own] -= loop[:, 0]
    too_many, too_few = modules.size > modules.largest, modules.size < modules.smallest
    above, below = too_many.any(axis=1)[class_], too_few.any(axis=1)[class_]
    size = modules.size[class_]
    has_room = size + count <= modules.largest[class_]
    has_room = numpy.where(below[:, None], too_few[class_], has_room)
    has_room[row, own] = False
    spares = size[row, own] - count[:, 0] >= modules.smallest[class_, own]
    leaves = numpy.where(above, too_many[class_, own], spares)
    if repairs:
        leaves &= above | below
    now = ratios(modules.association, modules.volume)
    added = 2 * pull + loop
    left = ratios(modules.association[own] - added[row, own], modules.volume[own] - degree[:, 0])
    joined = ratios(modules.association + added, modules.volume + degree) - now
    joined[~has_room] = -numpy.inf
    target[first:last] = joined.argmax(axis=1)
    best = left - now[own] + joined.max(axis=1)
    gain[first:last] = numpy.where(leaves, best, -numpy.inf)


def fill_table(module, graph, modules, table):
    """Write the gains of all units that join or leave ``module``."""
    association, volume = modules.association[module], modules.volume[module]
    now = ratios(association, volume)
    inside = modules.labels == module
    added = 2 * table.pull[module] + graph.loop
    joined = ratios(association + added, volume + graph.degree) - now
    table.joined[module] = numpy.where(inside, -numpy.inf, joined)
    left = ratios(association - added[inside], volume - graph.degree[inside])
    table.left[inside] = left - now


def shift_pulls(unit, own, module, graph, table):
    """The neighbours of ``unit`` are pulled to ``module``, no longer to ``own``."""
    row = slice(graph.starts[unit], graph.starts[unit + 1])
    others, values = graph.columns[row], graph.values[row]
    table.pull[own, others] -= values
    table.pull[module, others] += values
    table.pull[own, unit] += graph.loop[unit]
    table.pull[module, unit] -= graph.loop[unit]


def best_of_table(now, off, above, below, slack, graph, modules, table):
    """The unit and the module of the best move at step ``now``, or -1 and -1."""
    num_units = len(modules.labels)
    class_, own = graph.classes, modules.labels
    size = modules.size[class_, own]
    if above:
        leaves = size > modules.largest[class_, own]
    else:
        leaves = size - graph.num_members >= modules.smallest[class_, own] - (0 if below else slack)
    leaves &= table.rests_until <= now
    if off >= 0:
        leaves &= class_ == off
    gains = table.joined + numpy.where(leaves, table.left, -numpy.inf)
    if below:
        has_room = (modules.size < modules.smallest)[class_].T
    else:
        room = modules.largest - modules.size + (0 if above else slack)
        has_room = (room[class_] >= graph.num_members[:, None]).T
    gains[~has_room] = -numpy.inf
    module, unit = divmod(int(gains.argmax()), num_units)
    return (unit, module) if gains[module, unit] > -numpy.inf else (-1, -1)
