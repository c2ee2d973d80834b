from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_modules._arrays import Floats
from pyg_modules.structure.growing import Growing, take_best
from pyg_modules.structure.missing_edges import MissingEdges

# The gradients of so many missing edges are computed at once, or of as many as there are edges.
_BLOCK = 2**18


def edges_by_gradient(asked: Growing) -> Tensor:
    """Missing edges with the largest gradients, ``[2, n]``.

    As in `RigL <https://arxiv.org/abs/1911.11134>`_.
    """
    assert asked.probe is not None
    graph = asked.graph
    missing = MissingEdges(asked.possible, graph.edge_index, asked.room > 0)
    size = max(_BLOCK, graph.num_edges)
    blocks = [
        np.arange(start, min(start + size, missing.count))
        for start in range(0, missing.count, size)
    ]
    graphs = (
        graph.with_edges(torch.cat([graph.edge_index, missing.at(block)], dim=1))
        for block in blocks
    )
    edges = torch.empty(2, 0, dtype=torch.long, device="cpu")
    score = np.empty(0)
    for block, gradient in zip(blocks, asked.probe(graphs, asked.seed), strict=True):
        edges = torch.cat([edges, missing.at(block)], dim=1)
        found = _of_missing(gradient, graph.num_edges, block.size)
        if asked.price is not None:
            found = asked.price.worth(found, missing.at(block))
        score = np.append(score, found)
        best = take_best(score, edges[1].numpy(), asked.room, asked.number)
        edges, score = edges[:, torch.from_numpy(best)], score[best]
    return edges


def _of_missing(gradient: Tensor, num_edges: int, num_missing: int) -> Floats:
    """The size of the gradients of missing edges, which come after those that are there."""
    if gradient.shape != (num_edges + num_missing,):
        raise ValueError(
            f"Expected a gradient for each of {num_edges + num_missing} edges (got the shape"
            f" {list(gradient.shape)}). Return those of all edges of the graph that was given."
        )
    found = gradient[num_edges:].abs().double()
    if not bool(found.isfinite().all()):
        raise ValueError(
            "Expected finite gradients of missing edges (got NaN or infinity). The training"
            " diverged, or the data holds such values; lower the learning rate, or take them out."
        )
    return found.cpu().numpy()
