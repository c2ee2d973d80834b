from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from pyg_modules._arrays import Ints
from pyg_modules.graph.unit_graph import UnitGraph

# More bars than these would be thinner than a line.
_MOST_BARS = 60


class DegreeBars(NamedTuple):
    """How many hidden units receive from, or send to, how many others.

    Args:
        counts (numpy.ndarray): Number of units in every bar.
        mean (float): Mean of the degrees.
    """

    counts: Ints
    mean: float


def degree_bars(
    *graphs: UnitGraph,
) -> tuple[Ints, list[dict[str, DegreeBars]]]:
    """Distributions of the degrees of the hidden units of graphs, in the same bars.

    Args:
        graphs (UnitGraph): Of hidden units.

    Returns:
        tuple: The smallest degree in every bar, and beyond the last, ``[bars + 1]``; and for every
        graph the distributions of the ``"in-degree"`` and the ``"out-degree"``.
    """
    degrees = [
        {
            name: torch.bincount(ends.cpu(), minlength=graph.num_units)[_hidden(graph)].numpy()
            for name, ends in (
                ("in-degree", graph.edge_index[1]),
                ("out-degree", graph.edge_index[0]),
            )
        }
        for graph in graphs
    ]
    every = np.concatenate([values for of_graph in degrees for values in of_graph.values()])
    smallest, largest = int(every.min()), int(every.max())
    width = -(-(largest - smallest + 1) // _MOST_BARS)
    starts = np.arange(smallest, largest + width + 1, width)
    bars = [
        {
            name: DegreeBars(np.histogram(values, starts - 0.5)[0], float(values.mean()))
            for name, values in of_graph.items()
        }
        for of_graph in degrees
    ]
    return starts, bars


def _hidden(graph: UnitGraph) -> slice:
    return slice(graph.hidden.start, graph.hidden.stop)
