from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_modules._checks import as_int, check_state
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.edge_record import EdgeRecord


class EdgeMemory:
    """What became of the edges of a layer since its training began.

    Args:
        layer (UnitLayer): The layer as its training begins.

    Attributes:
        first_graph: Its graph then.
        graph: The one that is known.
        first_weight: The weights of its edges when they came, ``[E, ...]``.
        since: In which record of the history they came, −1 for those of the first graph, ``[E]``.
        epoch: The last one of which something is known.
        history: A record for every epoch.
    """

    def __init__(self, layer: UnitLayer) -> None:
        self.epoch = 0
        self.history: list[EdgeRecord] = []
        self.graph = self.first_graph = layer.graph
        self.first_weight = layer.edge_weight().detach().clone()
        self.since = torch.full((self.graph.num_edges,), -1, device="cpu")

    def follow(self, layer: UnitLayer) -> None:
        """Know the edges that the layer has now; those that are new came with weight 0."""
        # The layer may have been moved in the meantime.
        self.first_weight = self.first_weight.to(layer.device)
        if layer.graph is not self.graph:
            edges = EdgeMap.between(self.graph, layer.graph)
            self.first_weight = edges.carry(self.first_weight)
            self.since = edges.carry(self.since, len(self.history))
            self.graph = layer.graph

    def record(self, epoch: int) -> None:
        """Note what became of the edges since the last record."""
        self.epoch = epoch
        before = self.history[-1].num_edges if self.history else self.first_graph.num_edges
        number = self.graph.num_edges
        came = torch.bincount(self.since + 1, minlength=len(self.history) + 2)
        num_stayed, *left = came.tolist()
        grown = left[-1]
        pruned = before + grown - number
        self.history.append(EdgeRecord(epoch, number, num_stayed, grown, pruned, grown))
        records = zip(self.history, left, strict=True)
        self.history[:] = [record._replace(num_left=num) for record, num in records]

    def state_dict(self) -> dict[str, Any]:
        """All of it, in tensors and numbers."""
        return {
            "units": _units_of(self.graph),
            "epoch": self.epoch,
            "first": self.first_graph.edge_index,
            "edge_index": self.graph.edge_index,
            "first_weight": self.first_weight,
            "since": self.since,
            "history": [list(record) for record in self.history],
        }

    @classmethod
    def of_state(cls, state: dict[str, Any], layer: UnitLayer) -> EdgeMemory:
        """What :meth:`state_dict` returned, of ``layer`` with other edges.

        Raises:
            TypeError: If ``state`` is no dict, or holds something of another type.
            ValueError: If it is that of something else, or of a layer of other units.
        """
        memory = cls(layer)
        check_state("SparseSchedule", state, memory.state_dict())
        units = _units_of(layer.graph)
        if list(state["units"]) != units:
            raise ValueError(
                f"Expected the state of a layer of {units} units in all, inputs and outputs (got"
                f" {state['units']}). Make the layer as it was made then."
            )
        memory.epoch = as_int("epoch", state["epoch"], smallest=0)
        memory.graph = layer.graph.with_edges(state["edge_index"])
        memory.first_graph = layer.graph.with_edges(state["first"])
        for name in ("first_weight", "since"):
            value, own = state[name], getattr(memory, name)
            shape = [memory.graph.num_edges, *own.shape[1:]]
            if not isinstance(value, Tensor) or list(value.shape) != shape:
                got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(
                    f"Expected a state whose {name!r} is a tensor of shape {shape}, that of its"
                    f" edges (got {got}). Give what state_dict() of a SparseSchedule returned."
                )
            setattr(memory, name, value.to(own))
        memory.history = [_record_of(record) for record in state["history"]]
        return memory


def _record_of(values: Sequence[int]) -> EdgeRecord:
    if len(values) != len(EdgeRecord._fields):
        raise ValueError(
            f"Expected a history of records of {len(EdgeRecord._fields)} numbers (got {values})."
            " Give what state_dict() of a SparseSchedule returned."
        )
    return EdgeRecord(*(as_int("a number of the history", value, smallest=0) for value in values))


def _units_of(graph: UnitGraph) -> list[int]:
    return [graph.num_units, graph.num_inputs, graph.num_outputs]
