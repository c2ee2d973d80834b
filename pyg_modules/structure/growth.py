"""Which edges a graph gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pyg_modules.graph.sampling import Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.structure.edge_price import EdgePrice
from pyg_modules.structure.missing_edges import MissingEdges
from pyg_modules.structure.possible_edges import PossibleEdges

# The gradients of so many missing edges are computed at once, or of as many as there are edges.
_BLOCK = 2**18


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


class Growth(NamedTuple):
    """A way to find edges that are missing, by name in ``GROWTHS``.

    Attributes:
        edges: From what is asked for to edges, ``[2, n]``, fewer if no more are possible.
        needs_gradient: Whether it needs gradients, which a price may lower.
    """

    edges: Callable[[Growing], Tensor]
    needs_gradient: bool


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


def _at_random(asked: Growing) -> Tensor:
    """Every missing edge is as likely."""
    rng = np.random.default_rng(asked.seed)
    edges, room = asked.graph.edge_index, asked.room.copy()
    last = asked.graph.num_edges + asked.number
    while edges.size(1) < last:
        missing = MissingEdges(asked.possible, edges, room > 0)
        if not missing.count:
            break
        number = min(missing.count, last - edges.size(1))
        drawn = missing.at(rng.choice(missing.count, number, replace=False))
        target = drawn[1].numpy()
        taken = take_best(np.zeros(number), target, room, number)
        room -= np.bincount(target[taken], minlength=room.size)
        edges = torch.cat([edges, drawn[:, torch.from_numpy(taken)]], dim=1)
    return edges[:, asked.graph.num_edges :]


def _by_gradient(asked: Growing) -> Tensor:
    """Those with the largest gradients, as in `RigL <https://arxiv.org/abs/1911.11134>`_."""
    assert asked.probe is not None
    graph = asked.graph
    missing = MissingEdges(asked.possible, graph.edge_index, asked.room > 0)
    size = max(_BLOCK, graph.num_edges)
    blocks = [
        np.arange(start, min(start + size, missing.count))
        for start in range(0, missing.count, size)
    ]
    graphs = (
        UnitGraph(
            torch.cat([graph.edge_index, missing.at(block)], dim=1),
            graph.num_units,
            graph.num_inputs,
            graph.num_outputs,
        )
        for block in blocks
    )
    edges = torch.empty(2, 0, dtype=torch.long, device="cpu")
    score = np.empty(0)
    for block, gradient in zip(blocks, asked.probe(graphs, asked.seed), strict=True):
        edges = torch.cat([edges, missing.at(block)], dim=1)
        found = gradient[graph.num_edges :].abs().double().cpu().numpy()
        if asked.price is not None:
            found = asked.price.worth(found, missing.at(block))
        score = np.append(score, found)
        best = take_best(score, edges[1].numpy(), asked.room, asked.number)
        edges, score = edges[:, torch.from_numpy(best)], score[best]
    return edges


GROWTHS = {
    "gradient": Growth(_by_gradient, needs_gradient=True),
    "random": Growth(_at_random, needs_gradient=False),
}
