"""Which units take part: those that an input reaches, and that reach an output."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from pyg_modules._arrays import Bools, Floats
from pyg_modules.graph.paths import distances
from pyg_modules.graph.unit_graph import UnitGraph

# What of a graph was said.
_FAR = "far outputs"


class Reach(NamedTuple):
    """Numbers of edges on shortest paths, ``[N]``; infinite where there is none.

    Attributes:
        from_inputs: From the nearest input.
        to_outputs: To the nearest output.
    """

    from_inputs: Floats
    to_outputs: Floats

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

    def is_alive(self, steps: int | None = None) -> Bools:
        """Which units are on a path from an input to an output that updates can walk, ``[N]``.

        Args:
            steps (int, optional): Number of updates before the outputs are read. (default: no
                limit)
        """
        length = self.from_inputs + self.to_outputs
        alive: Bools = length < numpy.inf if steps is None else length <= steps + 1
        return alive


def warn_of_far_outputs(graph: UnitGraph, num_updates: int | None, *, stacklevel: int) -> None:
    """Warn, once, of outputs that inputs reach, but not in as many updates: they are constant.

    Args:
        graph (UnitGraph): The units and their edges.
        num_updates (int, optional): Number of updates, if there is a limit.
        stacklevel (int): That of the warning, seen from the caller.
    """
    if num_updates is None:
        return
    # This function, what is kept, and what is built lie between the warning and the caller.
    graph.cached(
        (_FAR, num_updates), lambda: _warn_of_far(graph, num_updates, stacklevel=stacklevel + 4)
    )


def leave_far_outputs_unsaid(graph: UnitGraph, num_updates: int | None) -> None:
    """Let nobody warn of outputs of a graph that was made of another, whose user knows of them."""
    graph.cached((_FAR, num_updates), lambda: None)


def has_far_outputs(graph: UnitGraph, num_updates: int | None) -> bool:
    """Whether there is an output that no input reaches in as many updates, or none at all."""
    return num_updates is not None and not _are_near(graph, num_updates + 1)


def _warn_of_far(graph: UnitGraph, num_updates: int, *, stacklevel: int) -> None:
    if _are_near(graph, num_updates + 1):
        return
    lengths = Reach.of(graph).from_inputs[graph.outputs.start :]
    reached = lengths[lengths < numpy.inf]
    if num_far := int((reached > num_updates + 1).sum()):
        warnings.warn(
            f"{num_far} of {graph.num_outputs} outputs are the same for all inputs: the nearest"
            f" input is more edges away than {num_updates} updates can walk. Use a solver with more"
            f" steps: Unrolled(steps={int(reached.max()) - 1}) reaches all outputs that it can.",
            stacklevel=stacklevel,
        )


def _are_near(graph: UnitGraph, length: int) -> bool:
    """Whether all outputs are at most ``length`` edges away from an input."""
    source, target = graph.edge_index
    is_near = torch.zeros(graph.num_units, dtype=torch.bool, device="cpu")
    is_near[: graph.num_inputs] = True
    for _ in range(length):
        if is_near[graph.outputs.start :].all():
            break
        is_near[target[is_near[source]]] = True
    return bool(is_near[graph.outputs.start :].all())
