"""Which units take part: those that an input reaches, and that reach an output."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from torch import Tensor

from pyg_modules.graph.paths import distances
from pyg_modules.graph.unit_graph import UnitGraph


class Reach(NamedTuple):
    """Numbers of edges on shortest paths, ``[N]``; infinite where there is none.

    Attributes:
        from_inputs: From the nearest input.
        to_outputs: To the nearest output.
    """

    from_inputs: NDArray[numpy.float64]
    to_outputs: NDArray[numpy.float64]

    @classmethod
    def of(cls, graph: UnitGraph, kept: Tensor | None = None) -> Reach:
        """That of a graph, or of those of its edges that are ``kept``, a boolean mask ``[E]``."""
        if kept is None:
            return graph.cached("reach", lambda: cls._along(graph, graph.edge_index))
        return cls._along(graph, graph.edge_index[:, kept])

    @classmethod
    def _along(cls, graph: UnitGraph, edge_index: Tensor) -> Reach:
        source, target = edge_index.numpy()
        return cls(
            distances(source, target, graph.num_units, graph.inputs),
            distances(target, source, graph.num_units, graph.outputs),
        )

    def is_alive(self, steps: int | None = None) -> NDArray[numpy.bool_]:
        """Which units are on a path from an input to an output that updates can walk, ``[N]``.

        Args:
            steps (int, optional): Number of updates before the outputs are read. (default: no
                limit)
        """
        length = self.from_inputs + self.to_outputs
        alive: NDArray[numpy.bool_] = length < numpy.inf if steps is None else length <= steps + 1
        return alive
