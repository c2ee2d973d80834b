"""Generators of edge lists: pure functions from sizes to ``edge_index``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def bipartite_edges(sources: range, targets: range) -> Tensor:
    """Every edge from a unit of ``sources`` to a unit of ``targets``, [2, S * T], by target.

    Their weights are then in the order of ``torch.nn.Linear.weight``, flattened.
    """
    return torch.cartesian_prod(
        torch.arange(targets.start, targets.stop, device="cpu"),
        torch.arange(sources.start, sources.stop, device="cpu"),
    ).T.flip(0)


def complete_edges(num_inputs: int, num_hidden: int, num_outputs: int) -> Tensor:
    """Input -> hidden, hidden -> hidden (self-loops included) and hidden -> output edges."""
    hidden = range(num_inputs, num_inputs + num_hidden)
    outputs = range(hidden.stop, hidden.stop + num_outputs)
    return torch.cat(
        [
            bipartite_edges(range(num_inputs), hidden),
            bipartite_edges(hidden, hidden),
            bipartite_edges(hidden, outputs),
        ],
        dim=1,
    )


def layered_edges(sizes: Sequence[int]) -> Tensor:
    """Every edge from each level to the next."""
    levels = levels_of(sizes)
    return torch.cat(
        [bipartite_edges(lower, upper) for lower, upper in pairwise(levels)],
        dim=1,
    )


def yoked_edges(sizes: Sequence[int]) -> Tensor:
    """The edges of :func:`layered_edges`, and all edges within a hidden level, no self-loops."""
    cliques = [bipartite_edges(level, level) for level in levels_of(sizes)[1:-1]]
    within = [clique[:, clique[0] != clique[1]] for clique in cliques]
    return torch.cat([layered_edges(sizes), *within], dim=1)


def levels_of(sizes: Sequence[int]) -> list[range]:
    """Ids of the units of every level."""
    starts = [sum(sizes[:level]) for level in range(len(sizes))]
    return [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
