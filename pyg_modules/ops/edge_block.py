from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EdgeBlock:
    """The edges from one set of units to another, as a bipartite graph with local ids.

    Args:
        edge_ids (LongTensor): Positions of the edges in the edge list of the whole graph, ``[e]``.
        source (LongTensor): Local ids of their sources, ``[e]``.
        target (LongTensor): Local ids of their targets, ``[e]``.
        num_sources (int): Number of possible sources.
        num_targets (int): Number of possible targets.
    """

    edge_ids: Tensor
    source: Tensor
    target: Tensor
    num_sources: int
    num_targets: int

    @classmethod
    def between(cls, edge_index: Tensor, sources: range, targets: range) -> EdgeBlock:
        """The edges of ``edge_index`` from the units ``sources`` to the units ``targets``."""
        source, target = edge_index
        inside = (
            (source >= sources.start)
            & (source < sources.stop)
            & (target >= targets.start)
            & (target < targets.stop)
        )
        edge_ids = inside.nonzero().view(-1)
        return cls(
            edge_ids,
            source[edge_ids] - sources.start,
            target[edge_ids] - targets.start,
            len(sources),
            len(targets),
        )

    @classmethod
    def among(cls, edge_index: Tensor, members: Tensor) -> EdgeBlock:
        """The edges of ``edge_index`` between units of ``members``, a boolean mask ``[N]``."""
        edge_ids = members[edge_index].all(dim=0).nonzero().view(-1)
        local = torch.cumsum(members, dim=0) - 1
        source, target = local[edge_index[:, edge_ids]]
        num_members = int(members.sum())
        return cls(edge_ids, source, target, num_members, num_members)

    @property
    def num_edges(self) -> int:
        """Number of edges ``e``."""
        return self.edge_ids.numel()

    def to(self, device: torch.device) -> EdgeBlock:
        """The same block with its tensors on ``device``."""
        return EdgeBlock(
            self.edge_ids.to(device),
            self.source.to(device),
            self.target.to(device),
            self.num_sources,
            self.num_targets,
        )
