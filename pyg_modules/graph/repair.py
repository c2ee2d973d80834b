"""The fewest edges after which every hidden unit is reached by an input and reaches an output.

Beside hidden units, outputs get an edge if they have none.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pyg_modules._arrays import Bools, Ints
from pyg_modules.graph.augmentation import strong_augmentation
from pyg_modules.graph.sampling import Edges, distinct


def missing_edges(
    rng: np.random.Generator, edges: Edges, sizes: tuple[int, int, int], module: Ints
) -> Edges:
    """The fewest edges within modules after which each is alive on its own, and its outputs fed.

    Those that bring hidden units to life are the fewest; outputs without an edge get one of these,
    where it may go there, or one more.

    Args:
        rng (numpy.random.Generator): Chooses units where several will do.
        edges (tuple): Sources and targets; none enters an input or leaves an output.
        sizes (tuple): Numbers of inputs, hidden units and outputs.
        module (numpy.ndarray): Module of every unit, from 0, ``[N]``.

    Raises:
        ValueError: If a module with hidden units has no input or no output.
    """
    num_inputs, num_hidden, _ = sizes
    hidden = slice(num_inputs, num_inputs + num_hidden)
    _check_ends(module, hidden)
    # With the inputs and outputs of a module as one, all of a module have to reach each other.
    node = num_hidden + module
    node[hidden] = np.arange(num_hidden)
    source, target = edges
    within = module[source] == module[target]
    source, target = node[source[within]], node[target[within]]
    part = _strong_parts(source, target, num_hidden + int(module.max(initial=-1)) + 1)
    part_of_unit, unit = part[node], np.arange(module.size)
    group = np.zeros(int(part.max(initial=-1)) + 1, np.int64)
    group[part_of_unit] = module
    leaving, entered = strong_augmentation(_between(part[source], part[target]), group)
    added = (
        _some_units(rng, leaving, part_of_unit, unit < hidden.stop),
        _some_units(rng, entered, part_of_unit, unit >= hidden.start),
    )
    unfed = np.setdiff1d(unit[hidden.stop :], edges[1])
    # An edge into what reaches an output of its module may go to that output as well.
    may_move = np.isin(entered, part[num_hidden:])
    return _feeding(rng, added, may_move, unfed, hidden, module)


def _feeding(
    rng: np.random.Generator,
    added: Edges,
    may_move: Bools,
    unfed: Ints,
    hidden: slice,
    module: Ints,
) -> Edges:
    """``added``, of which some go to outputs that are ``unfed``, and what these lack still."""
    source, target = added
    # The first edge into such an output stays.
    units, first = np.unique(target, return_index=True)
    may_move[first[np.isin(units, unfed)]] = False
    unfed = np.setdiff1d(unfed, target)
    more = [np.empty((2, 0), np.int64)]
    for number in np.unique(module[unfed]):
        lacking = unfed[module[unfed] == number]
        moved = np.flatnonzero(may_move & (module[target] == number))[: lacking.size]
        target[moved], lacking = lacking[: moved.size], lacking[moved.size :]
        own = hidden.start + np.flatnonzero(module[hidden] == number)
        if own.size:  # Else nothing in the module could feed them.
            more.append(np.stack([rng.choice(own, lacking.size), lacking]))
    source, target = np.concatenate([np.stack([source, target]), *more], axis=1)
    return source, target


def missing_edges_of_levels(rng: np.random.Generator, edges: Edges, levels: list[range]) -> Edges:
    """The fewest edges from levels to the next that bring hidden levels and outputs to life.

    Args:
        rng (numpy.random.Generator): Chooses units where several will do.
        edges (tuple): Sources and targets, within levels or from one to the next.
        levels (list of range): Ids of the units of every level.

    Raises:
        ValueError: If there are hidden units, and a level without any.
    """
    if any(levels[1:-1]) and not all(levels):
        raise ValueError(
            f"Expected units in every level for repair=True (got sizes={list(map(len, levels))})."
            f" No edge goes past an empty level."
            " Remove the level, or use repair=False."
        )
    level = np.repeat(np.arange(len(levels)), list(map(len, levels)))
    source, target = edges
    within = level[source] == level[target]
    # Units of a level that reach each other share what one of them gets.
    part = _strong_parts(source[within], target[within], level.size)
    source, target = _between(part[source], part[target])
    unit = np.zeros(int(part.max(initial=-1)) + 1, np.int64)
    shuffled = rng.permutation(level.size)
    unit[part[shuffled]] = shuffled
    unread, unfed = unit[np.setdiff1d(part, source)], unit[np.setdiff1d(part, target)]
    added = [np.empty((2, 0), np.int64)]
    for lower, upper in pairwise(levels) if any(levels[1:-1]) else ():
        # Inputs need not be read.
        leaving = rng.permutation(unread[_is_in(lower, unread)]) if lower != levels[0] else unit[:0]
        entered = unfed[_is_in(upper, unfed)]
        lacking = leaving.size - entered.size
        leaving = np.append(leaving, rng.integers(lower.start, lower.stop, max(0, -lacking)))
        entered = np.append(entered, rng.integers(upper.start, upper.stop, max(0, lacking)))
        added.append(np.stack([leaving, entered]))
    source, target = np.concatenate(added, axis=1)
    return source, target


def _check_ends(module: Ints, hidden: slice) -> None:
    for name, ends in (("input", module[: hidden.start]), ("output", module[hidden.stop :])):
        without = np.setdiff1d(module[hidden], ends)
        if without.size:
            in_modules = " in every module" if module.any() else ""
            raise ValueError(
                f"Expected an {name}{in_modules} for repair=True (got"
                f" {without.size} module{'s' * (without.size > 1)} without). No edges bring its"
                f" hidden units to life; raise num_{name}s."
            )


def _strong_parts(source: Ints, target: Ints, count: int) -> Ints:
    """The strongly connected component of every node."""
    values = np.ones(source.size, dtype=np.int8)
    adjacency = coo_array((values, (source, target)), shape=(count, count))
    part: Ints = connected_components(adjacency, connection="strong")[1].astype(np.int64)
    return part


def _between(source: Ints, target: Ints) -> Edges:
    """The edges between different nodes, each once."""
    apart = source != target
    count = int(source.max(initial=0)) + 1
    keys = distinct(target[apart] * count + source[apart])
    target, source = np.divmod(keys, count)
    return source, target


def _is_in(units: range, ids: Ints) -> Bools:
    return (ids >= units.start) & (ids < units.stop)


def _some_units(rng: np.random.Generator, parts: Ints, part_of_unit: Ints, may: Bools) -> Ints:
    """For each of ``parts`` any of its units that ``may``."""
    allowed = np.flatnonzero(may)
    order = np.argsort(part_of_unit[allowed], kind="stable")
    of_allowed = part_of_unit[allowed][order]
    start, stop = (np.searchsorted(of_allowed, parts, side=side) for side in ("left", "right"))
    units: Ints = allowed[order[rng.integers(start, stop)]]
    return units
