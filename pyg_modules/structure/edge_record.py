from __future__ import annotations

from typing import NamedTuple


class EdgeRecord(NamedTuple):
    """What became of the edges of a layer at the beginning of an epoch.

    Args:
        epoch (int): Number of the epoch, from 0.
        num_edges (int): Number of edges in it.
        num_stayed (int): How many of them have been there from the first epoch on.
        num_grown (int): How many have come since the epoch before, at its beginning.
        num_pruned (int): How many have gone since then.
        num_left (int): How many of those that have come are there still, in the last epoch of the
            history.
    """

    epoch: int
    num_edges: int
    num_stayed: int
    num_grown: int
    num_pruned: int
    num_left: int
