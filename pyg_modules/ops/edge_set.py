from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.ops.packing import Packing


@dataclass(frozen=True, eq=False)
class EdgeSet:
    """The edges from one set of units to another, by target and source, with local ids.

    Its tensors are on the CPU: operators are built there, and then moved.

    The weights of a set, ``[e]``, follow the order of its edges: ``weight[edges.edge_ids]``.

    Args:
        edge_ids (LongTensor): Positions of the edges in the edge list of the whole graph, ``[e]``.
        source (LongTensor): Local ids of their sources, ``[e]``.
        target (LongTensor): Local ids of their targets, ``[e]``, ascending; edges with the same
            target ascend by source.
        num_sources (int): Number of possible sources.
        num_targets (int): Number of possible targets.
    """

    edge_ids: Tensor
    source: Tensor
    target: Tensor
    num_sources: int
    num_targets: int

    @classmethod
    def between(cls, edge_index: Tensor, sources: range, targets: range) -> EdgeSet:
        """The edges of ``edge_index`` from the units ``sources`` to the units ``targets``."""
        source, target = edge_index
        inside = (
            (source >= sources.start)
            & (source < sources.stop)
            & (target >= targets.start)
            & (target < targets.stop)
        )
        edge_ids = inside.nonzero().view(-1)
        local_source = source[edge_ids] - sources.start
        local_target = target[edge_ids] - targets.start
        return cls._sorted(edge_ids, local_source, local_target, len(sources), len(targets))

    @classmethod
    def among(cls, edge_index: Tensor, members: Tensor) -> EdgeSet:
        """The edges of ``edge_index`` between units of ``members``, a boolean mask ``[N]``."""
        edge_ids = members[edge_index].all(dim=0).nonzero().view(-1)
        local = torch.cumsum(members, dim=0) - 1
        source, target = local[edge_index[:, edge_ids]]
        num_members = int(members.sum())
        return cls._sorted(edge_ids, source, target, num_members, num_members)

    @classmethod
    def _sorted(
        cls, edge_ids: Tensor, source: Tensor, target: Tensor, num_sources: int, num_targets: int
    ) -> EdgeSet:
        keys = target * num_sources + source
        if bool((keys[1:] < keys[:-1]).any()):  # Generated edges are in order.
            order = torch.argsort(keys)
            edge_ids, source, target = edge_ids[order], source[order], target[order]
        return cls(edge_ids, source, target, num_sources, num_targets)

    def as_listed(self) -> EdgeSet:
        """The same edges in the order of the edge list of the whole graph."""
        order = torch.argsort(self.edge_ids)
        ids, source, target = self.edge_ids[order], self.source[order], self.target[order]
        return EdgeSet(ids, source, target, self.num_sources, self.num_targets)

    @property
    def num_edges(self) -> int:
        """Number of edges ``e``."""
        return self.edge_ids.numel()

    @cached_property
    def components(self) -> Ints:
        """The weakly connected component of every unit, ``[num_sources]``.

        Only where sources and targets are the same units.
        """
        offsets = np.searchsorted(self.target.numpy(), np.arange(self.num_targets + 1))
        # With the type that is made of any other.
        present = np.ones(self.num_edges, dtype=np.float64)
        adjacency = csr_array(
            (present, self.source.numpy(), offsets), shape=(self.num_targets, self.num_sources)
        )
        labels: Ints = connected_components(adjacency, directed=False)[1]
        return labels

    @cached_property
    def packing(self) -> Packing:
        """The :attr:`components` in matrices; only where sources and targets are the same units."""
        return Packing.of(self.components)
