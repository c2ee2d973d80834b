"""Shortest paths along many edges, in compiled loops."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from pyg_modules._arrays import Floats, Ints


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
