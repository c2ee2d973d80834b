from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.graph.validate import check_edge_index_form
from pyg_modules.ops.scatter import ScatterOperator
from pyg_modules.partition.units import PartitionedEdges, Units, check_affinity, check_edge_weight


class TracedUnits(Units):
    """The units of an edge list whose values a compiler does not know: nothing is built from them.

    What an eager call looks at first, the compiled program asserts when it runs.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        num_units (int): Number of units.
        affinity (str): As for :class:`Units`.
    """

    def __init__(
        self, edge_index: Tensor, edge_weight: Tensor, num_units: int, affinity: str
    ) -> None:
        check_edge_index_form(edge_index)
        check_edge_weight(edge_index, edge_weight)
        check_affinity(affinity)
        self.affinity = affinity
        self.train_weights = True
        self._edge_weight = edge_weight
        source, target = edge_index.long().to(edge_weight.device)
        if edge_index.size(1):
            is_known = (edge_index >= 0) & (edge_index < num_units)
            torch._assert_async(
                is_known.all(),
                f"Expected unit ids in [0, {num_units}) in edge_index (got others). Correct them.",
            )
            keys = (source * num_units + target).sort().values
            torch._assert_async(
                (keys[1:] != keys[:-1]).all(),
                "Expected every edge once (got one twice). Use coalesce.",
            )
        operator = ScatterOperator((source, target, target), (num_units, num_units))
        self._traced = PartitionedEdges(None, source, target, operator)

    @property
    def edges(self) -> PartitionedEdges:
        """The edges, in the order of ``edge_index``."""
        return self._traced

    def _weight(self) -> Tensor:
        return self._edge_weight
