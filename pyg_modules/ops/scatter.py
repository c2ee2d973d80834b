from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch_geometric.utils import scatter

from pyg_modules.ops.operator import EdgeOperator


class ScatterOperator(EdgeOperator):
    """Gather, multiply and scatter, as in PyG's message passing: O(e * B) memory, any dtype."""

    def bind(self, edge_weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.bind`."""
        block = self.block
        weight = edge_weight.index_select(0, block.edge_ids).unsqueeze(-1)

        def weighted_sum(state: Tensor) -> Tensor:
            messages = weight * state.index_select(0, block.source)
            sums: Tensor = scatter(
                messages, block.target, dim=0, dim_size=block.num_targets, reduce="sum"
            )
            return sums

        return weighted_sum
