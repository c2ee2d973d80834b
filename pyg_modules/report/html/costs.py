from __future__ import annotations

from typing import NamedTuple, cast

from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.modules.split import split
from pyg_modules.nn.unit_layer import UnitLayer


class Cost(NamedTuple):
    """What a layer takes to compute one sample.

    Args:
        num_hidden (int): Hidden units.
        num_edges (int): Edges.
        num_parameters (int): Weights and biases.
        num_products (int): Multiplications of a weight and a state, in all updates together.
    """

    num_hidden: int
    num_edges: int
    num_parameters: int
    num_products: int


def cost(layer: UnitLayer, steps: int) -> Cost:
    """What a layer takes to compute one sample in ``steps`` synchronous updates.

    Inputs never change, so what they inject is computed once; the first update, of states 0, needs
    no edge between hidden units; outputs are read once.
    """
    injection, recurrent, readout, direct = map(len, layer.weights_by_edge_set())
    return Cost(
        num_hidden=layer.graph.num_hidden,
        num_edges=layer.graph.num_edges,
        num_parameters=num_parameters(layer),
        num_products=injection + (steps - 1) * recurrent + readout + direct,
    )


def part_costs(layer: UnitLayer, steps: int) -> list[Cost]:
    """What each module of a cut layer takes as a layer by itself, see :func:`cost`."""
    return [cost(cast(UnitLayer, part), steps) for part in split(layer)]
