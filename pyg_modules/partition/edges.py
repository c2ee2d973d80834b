from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.graph.validate import check_edge_index
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.sparse import SparseOperator
from pyg_modules.partition.validate import check_assignment

# A matrix with fewer cells than this many times the edges is multiplied as a dense one.
_DENSE = 4


class PartitionedEdges(NamedTuple):
    """The edges among the units that are partitioned, and the operator over them."""

    edge_ids: Tensor
    source: Tensor
    operator: EdgeOperator

    @classmethod
    def build(cls, edge_index: Tensor, members: Tensor) -> PartitionedEdges:
        """The edges between units of ``members``, a boolean mask ``[N]``, on its device."""
        block = EdgeSet.among(edge_index.cpu(), members.cpu())
        device = members.device
        is_dense = block.num_edges * _DENSE >= block.num_targets * block.num_sources
        operator = DenseOperator if is_dense else SparseOperator
        return cls(
            block.edge_ids.to(device),
            block.source.to(device),
            operator.build(block).to(device),
        )

    def leaving(self, magnitude: Tensor) -> Tensor:
        """The summed magnitudes [e] of the edges out of every unit, ``W^T 1``, [n]."""
        zeros = magnitude.new_zeros(self.operator.num_sources)
        return zeros.index_add(0, self.source, magnitude)

    @classmethod
    def of_graph(cls, edge_index: Tensor, assignment: Tensor) -> PartitionedEdges:
        """All edges of a graph whose units are the rows of ``assignment``; both are checked."""
        check_assignment(assignment)
        check_edge_index(edge_index, assignment.size(0), num_inputs=0)
        members = torch.ones(assignment.size(0), dtype=torch.bool, device=edge_index.device)
        return cls.build(edge_index, members)
