from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from pyg_modules.structure.growing import Growing, take_best
from pyg_modules.structure.random_growth import edges_at_random

# So many pairs of units are looked at at once.
_BLOCK = 2**24


def edges_by_neighbours(asked: Growing) -> Tensor:
    r"""Missing edges that most paths of three edges speak for, then random ones, ``[2, n]``.

    Where a unit b sends to a unit a that the source i sends to as well, and b sends to the target
    j, so may i. Paths through units with many edges count less:

    .. math::
        s_{ij} = \sum_{a, b} \frac{A_{ia} A_{ba} A_{bj}}{\sqrt{k_a k_b}}

    with the in-degree :math:`k_a` and the out-degree :math:`k_b`, as `links of proteins
    <https://doi.org/10.1038/s41467-019-09177-y>`_ are predicted.
    """
    rng = np.random.default_rng(asked.seed)
    graph, num_units = asked.graph, asked.graph.num_units
    source, target = graph.edge_index.numpy()
    adjacency = csr_array((np.ones(source.size), (source, target)), shape=(num_units, num_units))
    into, out_of = adjacency.sum(axis=0), adjacency.sum(axis=1)
    # From sources to those that share a target with them, and on to where those send.
    shared = diags_array(1 / np.sqrt(into.clip(min=1))) @ adjacency.T
    onward = diags_array(1 / np.sqrt(out_of.clip(min=1))) @ adjacency
    edges, score = np.empty((2, 0), np.int64), np.empty(0)
    for sources, units in asked.possible.blocks:
        targets = units[asked.room[units] > 0]
        for rows in np.array_split(sources, sources.size * targets.size // _BLOCK + 1):
            paths = adjacency[rows] @ shared @ onward[:, targets]
            # What is there is not missing.
            found = (paths - paths.multiply(adjacency[rows][:, targets])).tocoo()
            pairs = np.stack([rows[found.row], targets[found.col]])
            is_missing = (found.data > 0) & (asked.possible.has_loops | (pairs[0] != pairs[1]))
            edges = np.concatenate([edges, pairs[:, is_missing]], axis=1)
            score = np.concatenate([score, found.data[is_missing]])
            order = rng.permutation(score.size)  # Equals come in any order.
            best = order[take_best(score[order], edges[1, order], asked.room, asked.number)]
            edges, score = edges[:, best], score[best]
    local = torch.from_numpy(edges)
    room = asked.room - np.bincount(edges[1], minlength=num_units)
    grown = graph.with_edges(torch.cat([graph.edge_index, local], dim=1))
    rest = asked._replace(graph=grown, room=room, number=asked.number - edges.shape[1])
    return torch.cat([local, edges_at_random(rest)], dim=1)
