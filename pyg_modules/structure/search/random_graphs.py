"""Graphs by their kind and density, as a search draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import pi, sqrt
from typing import Any, NamedTuple

import torch

from pyg_modules.graph.unit_graph import UnitGraph

_REWIRE_PROB = 0.1  # Few detours, which make the small world of Watts and Strogatz.


class Wanted(NamedTuple):
    """What is asked of a graph.

    Args:
        sizes (tuple of int): Numbers of inputs, hidden units and outputs.
        density (float): The part of the edges of a complete graph.
        num_updates (int): How often the units are updated.
        generator (torch.Generator): Source of randomness.
    """

    sizes: tuple[int, int, int]
    density: float
    num_updates: int
    generator: torch.Generator

    @property
    def repaired(self) -> dict[str, Any]:
        """How generators draw a graph of which every hidden unit takes part."""
        return {"generator": self.generator, "repair": True}

    @property
    def degree(self) -> int:
        """The number of neighbours at the density, rounded down to an even one from two on."""
        return max(2, 2 * int(self.density * (self.sizes[1] - 1) / 2))

    @property
    def levels(self) -> list[int]:
        """Sizes of levels, one per update for the hidden units."""
        num_inputs, num_hidden, num_outputs = self.sizes
        bounds = [num_hidden * level // self.num_updates for level in range(self.num_updates + 1)]
        return [num_inputs, *(stop - start for start, stop in pairwise(bounds)), num_outputs]


@dataclass(frozen=True)
class RandomGraphs:
    """Graphs of one kind.

    Args:
        draw (Callable): The graph that is :class:`Wanted`.
        has_density (bool, optional): Whether the density matters. (default: ``True``)
        is_layered (bool, optional): Whether there is a level per update. (default: ``False``)
    """

    draw: Callable[[Wanted], UnitGraph]
    has_density: bool = True
    is_layered: bool = False

    def fewest_hidden(self, num_updates: int) -> int:
        """The smallest number of hidden units for which there is a graph."""
        return num_updates if self.is_layered else 3  # On a ring, with two neighbours each.


#: Kinds of graphs by name.
RANDOM_GRAPHS: dict[str, RandomGraphs] = {
    "complete": RandomGraphs(lambda it: UnitGraph.complete(*it.sizes), has_density=False),
    "erdos_renyi": RandomGraphs(
        lambda it: UnitGraph.erdos_renyi(*it.sizes, it.density, **it.repaired)
    ),
    "fixed_in_degree": RandomGraphs(
        lambda it: UnitGraph.fixed_in_degree(
            *it.sizes, max(1, round(it.density * it.sizes[1])), **it.repaired
        )
    ),
    "small_world": RandomGraphs(
        lambda it: UnitGraph.small_world(
            *it.sizes, it.degree, _REWIRE_PROB, end_prob=it.density, **it.repaired
        )
    ),
    "scale_free": RandomGraphs(
        lambda it: UnitGraph.scale_free(*it.sizes, it.degree, end_prob=it.density, **it.repaired)
    ),
    "geometric": RandomGraphs(
        lambda it: UnitGraph.geometric(*it.sizes, sqrt(it.density / pi), **it.repaired)
    ),
    "random_wired": RandomGraphs(
        lambda it: UnitGraph.random_wired(
            *it.sizes, "small_world", it.degree, generator=it.generator
        )
    ),
    "layered": RandomGraphs(
        lambda it: UnitGraph.layered(it.levels, density=it.density, **it.repaired),
        is_layered=True,
    ),
}
