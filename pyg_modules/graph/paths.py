"""Shortest paths along many edges, in compiled loops."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from pyg_modules._arrays import Bools, Floats, Ints


def distances(source: Ints, target: Ints, num_units: int, starts: range) -> Floats:
    """Numbers of edges on shortest paths from the nearest of ``starts``, ``[num_units]``.

    Infinite where there is none.
    """
    # One search from a unit more, which leads to all that it starts from.
    root = num_units
    rows = np.append(source, np.full(len(starts), root))
    columns = np.append(target, np.arange(starts.start, starts.stop))
    shape = num_units + 1, num_units + 1
    adjacency = coo_array((np.ones(rows.size, dtype=np.int8), (rows, columns)), shape=shape)
    reached, before = breadth_first_order(adjacency.tocsr(), root)
    length = np.full(num_units + 1, np.inf)
    length[reached] = 1
    length[root] = 0
    before[root] = root
    # Every round doubles how far back a unit has counted.
    while (before[reached] != root).any():
        length[reached] += length[before[reached]]
        before[reached] = before[before[reached]]
    return length[:root] - 1


def disjoint_paths(
    source: Ints, target: Ints, starts: range, ends: range, is_shared: Bools, most: int
) -> list[list[int]]:
    """As many paths from ``starts`` to ``ends`` as have no unit in common but shared ones.

    By Menger's theorem, a maximum flow through units that let one path through each.

    Args:
        source (numpy.ndarray): Of every edge, ``[E]``.
        target (numpy.ndarray): Of every edge, ``[E]``.
        starts (range): Where paths may start.
        ends (range): Where they may end; no edge leaves these.
        is_shared (numpy.ndarray): Which units any number of paths may have in common, ``[N]``; no
            edge joins two of them, and all of them are starts or ends.
        most (int): After so many, no more are looked for.

    Returns:
        list: The units of every path, one after the other.
    """
    num_units = len(is_shared)
    units = np.arange(num_units)
    # A unit is an arc from where it is entered, its number, to where it is left, so many further.
    root, first, last = range(2 * num_units, 2 * num_units + 3)
    starts_of, ends_of = (units[one.start : one.stop] for one in (starts, ends))
    arcs = [
        (units, units + num_units, np.where(is_shared, most, 1)),
        (source + num_units, target, np.ones_like(source)),
        (np.full(len(starts), first), starts_of, np.full(len(starts), most)),
        (ends_of + num_units, np.full(len(ends), last), np.full(len(ends), most)),
        (np.array([root]), np.array([first]), np.array([most])),
    ]
    rows, columns, capacity = (np.concatenate(part) for part in zip(*arcs, strict=True))
    capacities = coo_array((capacity.astype(np.int32), (rows, columns)), shape=(last + 1, last + 1))
    flow = maximum_flow(capacities.tocsr(), root, last).flow

    def following(unit: int) -> list[int]:
        row = slice(*flow.indptr[unit + num_units : unit + num_units + 2])
        return [int(one) for one in flow.indices[row][flow.data[row] > 0]]

    paths = []
    for start in starts:
        for after in following(start):
            path = [start, after]
            while path[-1] < ends.start:
                path += following(path[-1])
            paths.append(path)
    return paths
