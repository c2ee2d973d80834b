from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyg_modules._arrays import Floats
from pyg_modules.partition.labels import may_join


@dataclass(frozen=True, eq=False)
class EdgePrice:
    """What edges are worth when those between modules cost more than those within.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, on the CPU, −1 for shared ones.
        num_inputs (int): Number of input units.
        price (float): How many edges within a module one between two is to outweigh.
    """

    labels: Tensor
    num_inputs: int
    price: float

    def worth(self, score: Floats, edge_index: Tensor) -> Floats:
        """Scores of edges, lower for those between modules.

        Args:
            score (numpy.ndarray): What each is worth by itself, ``[E]``.
            edge_index (LongTensor): The edges, ``[2, E]``.
        """
        source, target = self.labels[edge_index]
        is_across = ~may_join(source, target, edge_index[0] < self.num_inputs).numpy()
        # Of a score below 0, a part would be more.
        lower: Floats = np.where(score > 0, score / self.price, score * self.price)
        return np.where(is_across, lower, score)
