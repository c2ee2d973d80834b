from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from pyg_modules.ops.edge_block import EdgeBlock


class EdgeOperator(ABC):
    r"""The linear part of a synchronous update over the edges of one block.

    .. math::
        y_i = \sum_{j \to i} w_{ij} h_j

    States are laid out ``[units, batch]``, so that an edge reads one contiguous row. This is the
    one interface a backend implements.

    Args:
        block (EdgeBlock): The edges. Its tensors are on the device of the weights.
    """

    def __init__(self, block: EdgeBlock) -> None:
        self.block = block

    @abstractmethod
    def bind(self, edge_weight: Tensor) -> Callable[[Tensor], Tensor]:
        """The map from states to weighted sums, for one value of the weights.

        What depends on the weights alone is done here, once, and not at every update.

        Args:
            edge_weight (Tensor): Weights of all edges of the graph, ``[E]``; the operator picks
                those of its block by ``block.edge_ids``.

        Returns:
            Callable: From states ``[num_sources, B]`` to sums ``[num_targets, B]``, differentiable
            in the states and in ``edge_weight``.
        """
