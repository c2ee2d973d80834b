from __future__ import annotations

import numpy as np

from pyg_modules._arrays import Bools, Floats, Ints
from pyg_modules.graph.reach import Reach
from pyg_modules.graph.unit_graph import UnitGraph


def needed_edges(graph: UnitGraph, score: Floats) -> Bools:
    """The best edges that keep every hidden unit and output as near to inputs and outputs as it is.

    Of the edges through which shortest paths from inputs enter a unit, the one with the highest
    score; and so for those through which a hidden unit reaches the outputs. They are at most two
    per hidden unit and one per output; without the others, no unit dies.

    Args:
        graph (UnitGraph): The graph.
        score (array): That of every edge, ``[E]``.

    Returns:
        A boolean mask ``[E]``.
    """
    source, target = graph.edge_index.numpy()
    reach = Reach.of(graph)
    needed = np.zeros(graph.num_edges, dtype=bool)
    for length, near, far in (
        (reach.from_inputs, source, target),
        (reach.to_outputs, target, source),
    ):
        is_step = (length[near] + 1 == length[far]) & np.isfinite(length[far])
        is_step &= far >= graph.num_inputs  # An input need not be used.
        steps = np.flatnonzero(is_step)
        needed[_best_by_unit(steps, far[steps], score[steps])] = True
    return needed


def _best_by_unit(edges: Ints, unit: Ints, score: Floats) -> Ints:
    order = np.lexsort((score, unit))
    is_last = np.diff(unit[order], append=-1) != 0
    best: Ints = edges[order[is_last]]
    return best
