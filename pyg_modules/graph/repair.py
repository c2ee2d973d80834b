"""The fewest edges after which every hidden unit is reached by an input and reaches an output."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pyg_modules.graph.augmentation import strong_augmentation
from pyg_modules.graph.sampling import Edges, Ints, distinct


def missing_edges(
    rng: np.random.Generator, edges: Edges, sizes: tuple[int, int, int], module: Ints
) -> Edges:
    """The fewest edges within modules after which every module is alive on its own.

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
    return (
        _some_units(rng, leaving, part_of_unit, unit < hidden.stop),
        _some_units(rng, entered, part_of_unit, unit >= hidden.start),
    )


def missing_edges_of_levels(rng: np.random.Generator, edges: Edges, levels: list[range]) -> Edges:
    """The fewest edges from levels to the next that bring all hidden levels to life.

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
        # Inputs that nothing reads, and outputs that nothing feeds, are no hidden units.
        leaving = rng.permutation(unread[_is_in(lower, unread)]) if lower != levels[0] else unit[:0]
        entered = unfed[_is_in(upper, unfed)] if upper != levels[-1] else unit[:0]
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


def _is_in(units: range, ids: Ints) -> npt.NDArray[np.bool_]:
    return (ids >= units.start) & (ids < units.stop)


def _some_units(
    rng: np.random.Generator, parts: Ints, part_of_unit: Ints, may: npt.NDArray[np.bool_]
) -> Ints:
    """For each of ``parts`` any of its units that ``may``."""
    allowed = np.flatnonzero(may)
    order = np.argsort(part_of_unit[allowed], kind="stable")
    of_allowed = part_of_unit[allowed][order]
    start, stop = (np.searchsorted(of_allowed, parts, side=side) for side in ("left", "right"))
    units: Ints = allowed[order[rng.integers(start, stop)]]
    return units
