from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import may_join

#: From one of three sorts of units to another: see :func:`kinds`.
NUM_KINDS = 9


def kinds(graph: UnitGraph) -> Tensor:
    """The kind of every edge, such as that from inputs to hidden units, ``[E]``."""
    source, target = graph.edge_index
    sort = sorts(graph)
    return 3 * sort[source] + sort[target]


def sorts(graph: UnitGraph) -> Tensor:
    """Whether units are inputs, 0, hidden units, 1, or outputs, 2, ``[N]``."""
    sort = torch.zeros(graph.num_units, dtype=torch.long, device="cpu")
    sort[graph.num_inputs :] = 1
    sort[graph.outputs.start :] = 2
    return sort


class PossibleEdges:
    """The edges that a graph may get: of the kinds that it has, and within modules if it has some.

    A kind is that from inputs to hidden units, from hidden units to outputs and so on; loops from a
    unit to itself are one more. So a network of one hidden level stays one.

    Args:
        graph (UnitGraph): The graph.
        labels (LongTensor, optional): Module of every unit, ``[N]``, −1 for units that all modules
            share. (default: one module)

    Attributes:
        blocks: Sources and targets, ascending; all edges from the ones to the others are possible.
        has_loops: Whether loops are.
    """

    blocks: list[tuple[Ints, Ints]]

    def __init__(self, graph: UnitGraph, labels: Tensor | None = None) -> None:
        sort = sorts(graph)
        source, target = graph.edge_index
        has_kind = (torch.bincount(kinds(graph), minlength=NUM_KINDS) > 0).view(3, 3)
        self.has_loops = bool((source == target).any())
        labels = torch.zeros_like(sort) if labels is None else labels
        group = 3 * labels + sort
        self.blocks = []
        for number in torch.unique(group):
            label, kind = number.div(3, rounding_mode="floor"), number % 3
            may_be = has_kind[sort, kind] & may_join(labels, label, sort == 0)
            sources, targets = may_be.nonzero()[:, 0], (group == number).nonzero()[:, 0]
            self.blocks.append((sources.numpy(), targets.numpy()))

    def num_into(self, num_units: int) -> Ints:
        """Number of possible edges into every unit, ``[num_units]``."""
        number = np.zeros(num_units, np.int64)
        for sources, targets in self.blocks:
            number[targets] = sources.size
            if not self.has_loops:
                number[np.intersect1d(sources, targets)] -= 1
        return number
