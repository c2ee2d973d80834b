from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph


@dataclass(frozen=True, eq=False)
class EdgeMap:
    """Where the edges of a graph were in another graph of the same units.

    Args:
        old (LongTensor): Positions in the other graph of the edges that it has too, ``[n]``.
        new (LongTensor): Their positions in this graph, ``[n]``.
        num_edges (int): Number of edges of this graph.
    """

    old: Tensor
    new: Tensor
    num_edges: int

    @classmethod
    def between(cls, old: UnitGraph, new: UnitGraph) -> EdgeMap:
        """That of the edges of ``new``, which were in ``old`` or not."""
        keys, wanted = (
            graph.edge_index[1].numpy() * graph.num_units + graph.edge_index[0].numpy()
            for graph in (old, new)
        )
        keys = np.append(keys, -1)  # There may be no others.
        # Edges are often in ascending runs, which a stable sort merges.
        order = np.argsort(keys, kind="stable")
        place = order.take(np.searchsorted(keys, wanted, sorter=order), mode="clip")
        is_kept = keys[place] == wanted
        return cls(
            torch.from_numpy(place[is_kept]), torch.from_numpy(np.flatnonzero(is_kept)), wanted.size
        )

    @property
    def num_added(self) -> int:
        """Number of edges that are new."""
        return self.num_edges - self.new.numel()

    def carry(self, values: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        """Values of the edges of the other graph as those of this one, new ones ``fill``.

        Args:
            values (Tensor): A row per edge of the other graph, ``[E_old, ...]``.
            fill (Tensor or float, optional): That of new edges. (default: ``0.0``)
        """
        old, new = self.old.to(values.device), self.new.to(values.device)
        if not self.num_added:
            return values[old]
        carried = values.new_empty(self.num_edges, *values.shape[1:])
        return carried.copy_(torch.as_tensor(fill, device=values.device)).index_copy_(
            0, new, values[old]
        )
