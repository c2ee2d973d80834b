"""Units that a cut puts to rest: no input reaches them any more, or they reach no output."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from torch import Tensor

from pyg_modules._arrays import Bools
from pyg_modules._brief import brief
from pyg_modules.graph.reach import Reach
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import SHARED, stays_independent
from pyg_modules.partition.units import Units, nonzero_edges


class Liveliness(NamedTuple):
    """Units that are on a path from an input to an output that the updates can walk, ``[N]``.

    Inputs are not among them: alone they compute nothing.

    Attributes:
        before: In the graph as it is.
        after: In the graph that is cut into modules.
    """

    before: Bools
    after: Bools

    @classmethod
    def of(
        cls,
        graph: UnitGraph,
        labels: Tensor,
        num_updates: int | None,
        kept: Tensor | None = None,
    ) -> Liveliness:
        """That of modules.

        Args:
            graph (UnitGraph): The units and their edges.
            labels (LongTensor): Module of every unit, ``[N]``, on the CPU, −1 for shared ones.
            num_updates (int, optional): Number of updates before the outputs are read, if there is
                a limit.
            kept (BoolTensor, optional): Edges that are there, ``[E]``. (default: all)
        """
        before = Reach.of(graph, kept).is_alive(num_updates)
        after = reach_of(graph, labels, kept).is_alive(num_updates)
        before[: graph.num_inputs] = after[: graph.num_inputs] = False
        return cls(before, after)

    @property
    def num_dead(self) -> int:
        """How many units the cut puts to rest."""
        return int((self.before & ~self.after).sum())

    def dead_modules(self, labels: Tensor) -> list[int]:
        """Modules with units that live before the cut, of which none lives after it."""
        owner = labels.numpy()
        living = {SHARED, *owner[self.after].tolist()}
        return sorted(set(owner[self.before].tolist()) - living)


def reach_of(graph: UnitGraph, labels: Tensor, kept: Tensor | None = None) -> Reach:
    """Reach along the edges that a cut leaves.

    Args:
        graph (UnitGraph): The units and their edges.
        labels (LongTensor): Module of every unit, ``[N]``, on the CPU, −1 for shared ones.
        kept (BoolTensor, optional): Edges that are there, ``[E]``. (default: all)
    """
    stays = stays_independent(graph, labels)
    return Reach.of(graph, stays if kept is None else stays & kept)


def check_alive(units: Units, labels: Tensor) -> None:
    """Raise if a cut makes a module compute a constant, and warn of units that it puts to rest.

    Where it does so only as long as weights are 0, it is a warning.

    Args:
        units (Units): Of a layer; which ones does not matter.
        labels (LongTensor): Module of every unit, ``[N]``, on the CPU, −1 for shared ones.
    """
    graph, num_updates = units.layer.graph, units.num_updates
    within = "" if num_updates is None else f" that {num_updates} updates can walk"
    remedy = "use fewer modules, a graph with more edges, or a solver with more steps."
    liveliness = Liveliness.of(graph, labels, num_updates, units.kept_edges)
    if dead := liveliness.dead_modules(labels):
        sizes = [int((labels == module).sum()) for module in dead]
        raise ValueError(
            f"Expected modules with a path from an input to an output{within} (got none in the"
            f" modules {brief(dead)}, which have {brief(sizes)} units). Cut apart, they would"
            f" compute constants. partition_units and PartitionSchedule find modules that live;"
            f" else {remedy}"
        )
    is_on = nonzero_edges(units.layer)
    if is_on is not None:
        at_present = Liveliness.of(graph, labels, num_updates, is_on)
        if dead := at_present.dead_modules(labels):
            warnings.warn(
                f"The modules {brief(dead)} compute constants until weights that are 0 are trained:"
                f" no path from an input to an output{within} has others in them. Train the"
                f" layer first, or partition it anew: partition_units and PartitionSchedule find"
                f" modules that live where there are some.",
                stacklevel=4,
            )
    if liveliness.num_dead:
        warnings.warn(
            f"{liveliness.num_dead} of {int(liveliness.before.sum())} units take no part any more"
            f" once the modules are cut apart: no input reaches them, or they reach no output, by"
            f" a path{within}. partition_units and PartitionSchedule avoid it where they can; else"
            f" {remedy}",
            stacklevel=4,
        )
