"""Which units take part: those that an input reaches, and that reach an output."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy
from torch import Tensor

from pyg_modules._arrays import Bools, Floats
from pyg_modules.graph.paths import distances
from pyg_modules.graph.unit_graph import UnitGraph

# What of a graph was said.
_FAR = "far units"
# Random graphs have some hidden units that are too far away; more than this share is said.
_SHARE = 0.5


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


def warn_of_far_units(graph: UnitGraph, num_updates: int | None, *, stacklevel: int) -> None:
    """Warn, once, of units that take part, but not in as many updates: far outputs are constant.

    Of hidden ones where it is most of them.

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


def leave_far_units_unsaid(graph: UnitGraph, num_updates: int | None) -> None:
    """Let nobody warn of units of a graph that was made of another, whose user knows of them."""
    graph.cached((_FAR, num_updates), lambda: None)


def has_far_units(graph: UnitGraph, num_updates: int | None) -> bool:
    """Whether there is anything to warn of, or an output that no input reaches at all."""
    if num_updates is None:
        return False
    is_unreached = Reach.of(graph).from_inputs[graph.outputs.start :] == numpy.inf
    return bool(is_unreached.any()) or any(far.size for far in _far(graph, num_updates))


def _far(graph: UnitGraph, num_updates: int) -> tuple[Floats, Floats]:
    """Lengths of ways to outputs, and through hidden units if to most, that are too long."""
    reach, hidden = Reach.of(graph), graph.hidden
    to_outputs = reach.from_inputs[graph.outputs.start :]
    through_hidden = (reach.from_inputs + reach.to_outputs)[hidden.start : hidden.stop]
    far_outputs, far_hidden = (
        length[(length > num_updates + 1) & (length < numpy.inf)]
        for length in (to_outputs, through_hidden)
    )
    if far_hidden.size <= _SHARE * graph.num_hidden:
        far_hidden = far_hidden[:0]
    return far_outputs, far_hidden


def _warn_of_far(graph: UnitGraph, num_updates: int, *, stacklevel: int) -> None:
    far_outputs, far_hidden = _far(graph, num_updates)
    found = []
    if far_outputs.size:
        found.append(
            f"{far_outputs.size} of {graph.num_outputs} outputs are the same for all inputs: the"
            f" nearest input is more edges away than {num_updates} updates can walk."
        )
    if far_hidden.size:
        found.append(
            f"{far_hidden.size} of {graph.num_hidden} hidden units take no part: no way from an"
            f" input through them comes to an output in {num_updates} updates."
        )
    if found:
        steps = int(max([*far_outputs, *far_hidden])) - 1
        warnings.warn(
            f"{' '.join(found)} Use a solver with more steps: Unrolled(steps={steps}) reaches all"
            f" that it can.",
            stacklevel=stacklevel,
        )
