"""What is asked for when a graph is to get edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.structure.edge_price import EdgePrice
from pyg_modules.structure.possible_edges import PossibleEdges


class GradientProbe(Protocol):
    """What says how the loss depends on edges, such as an ``EdgeGradient``."""

    def __call__(self, graphs: Iterable[UnitGraph], seed: int) -> Iterator[Tensor]:
        """The gradient of the loss of one batch in the weights of a layer, on each of ``graphs``.

        Each has the edges of the layer, with their weights, and others, with the weight 0; there
        are as many gradients, ``[E]`` each. The batch is the same for all, that of ``seed``.
        """


class Growing(NamedTuple):
    """What is asked for.

    Attributes:
        graph: The graph that gets edges.
        possible: Those that it may get.
        room: How many more edges every unit may receive, ``[N]``.
        number: How many edges to find.
        probe: What knows gradients.
        seed: Of everything random.
        price: What edges between modules cost, by gradient.
    """

    graph: UnitGraph
    possible: PossibleEdges
    room: Ints
    number: int
    probe: GradientProbe | None
    seed: int
    price: EdgePrice | None = None


def take_best(score: Ints | np.ndarray, target: Ints, room: Ints, number: int) -> Ints:
    """The positions of the ``number`` edges with the highest scores, the best one first.

    Args:
        score (array): That of every edge, ``[n]``.
        target (array): Their targets, ``[n]``.
        room (array): How many edges may lead into every unit, ``[N]``.
        number (int): How many; fewer are found where there is no more room.
    """
    order = np.argsort(-score, kind="stable")
    into = target[order]
    by_unit = np.argsort(into, kind="stable")
    ascending = into[by_unit]
    rank = np.empty_like(by_unit)
    rank[by_unit] = np.arange(into.size) - np.searchsorted(ascending, ascending)
    best: Ints = order[rank < room[into]][:number]
    return best
