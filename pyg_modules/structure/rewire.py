from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from pyg_modules.graph.reach import has_far_units, warn_of_far_units
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import Layer, UnitLayer, check_layer
from pyg_modules.ops.sharding import is_sharded
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure.carried import carried_layer, carried_state
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.left_behind import has_optimizer, move_hooks, watch_left_behind
from pyg_modules.structure.optimizer_state import (
    check_optimizes,
    replace_parameter,
    trained_parameters,
)


@torch.inference_mode(False)  # What is made there could never be trained.
def rewire(layer: Layer, graph: UnitGraph, *, optimizer: Optimizer | None = None) -> Layer:
    """Give a layer other edges, in place; all that it knows of those that stay is kept.

    Edges that stay keep their weights, gradients, hooks and whether they were pruned; new ones have
    weight 0, so that adding edges leaves the outputs as they are, but for the first that leaves an
    output where the solver has a ``contraction``: see :class:`~pyg_modules.Equilibrium`. Of a
    ``SynchronousConv``, they look at neighbours if edges of their kind do, such as those from
    inputs to hidden units. Biases and labels stay. The weights are a new parameter.

    What holds the parameters in other ways has to be made afterwards, or again: averages of the
    weights, ``DistributedDataParallel``, and recorded CUDA graphs.

    Args:
        layer (UnitLayer): The layer.
        graph (UnitGraph): The same units with the edges that it is to have, the same on all ranks.
        optimizer (torch.optim.Optimizer, optional): The optimizer of the layer. It goes on with the
            new weights and with what it remembers of edges that stay. Of new ones it remembers 0;
            of second moments and the like, which are never negative, the mean of all: by 0, Adam
            would take steps several times as large as for others. (default: none)

    Returns:
        UnitLayer: The layer itself.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``graph`` has other units; if its edges join modules of a layer that is cut;
            if the layer is compiled, a part made by ``split``, parametrized or sharded; or if
            its optimizer was not given, is not that of the layer, works through another one, or
            remembers something else than values per weight. The layer is then as it was.

    Warns:
        UserWarning: If an output, or most hidden units, are now farther away than updates can walk.
            Later, at the first gradient of the weight as it was, if the optimizer went on with the
            new one and another layer shares the old one.
    """
    check_layer(layer)
    _check_graph(layer, graph)
    check_can_change(layer, optimizer)
    if not has_far_units(layer.graph, layer.solver.num_updates):  # Else it was said.
        warn_of_far_units(graph, layer.solver.num_updates, stacklevel=3)
    put_edges(layer, graph, optimizer)
    return layer


def put_edges(layer: UnitLayer, graph: UnitGraph, optimizer: Optimizer | None = None) -> None:
    """The change of :func:`rewire`, of which all is known to be right."""
    weight: Any = layer.weight
    edges = EdgeMap.between(layer.graph, graph)
    state = {} if optimizer is None else carried_state(optimizer, weight, edges)
    made = carried_layer(layer, graph, edges)
    if weight.grad is not None:
        made.weight.grad = edges.carry(weight.grad)
    move_hooks(weight, made.weight)
    layer.graph, layer.weight = graph, made.weight
    for name in layer.edge_masks:
        setattr(layer, name, getattr(made, name))
    if optimizer is not None:
        replace_parameter(optimizer, weight, layer.weight, state)
        watch_left_behind(weight)


def _check_graph(layer: UnitLayer, graph: UnitGraph) -> None:
    if not isinstance(graph, UnitGraph):
        raise TypeError(
            f"Expected graph to be a UnitGraph (got {type(graph).__name__})."
            " Build one, e.g. UnitGraph(edge_index, num_units, num_inputs, num_outputs)."
        )
    for name in ("num_units", "num_inputs", "num_outputs"):
        old, new = getattr(layer.graph, name), getattr(graph, name)
        if old != new:
            raise ValueError(
                f"Expected a graph of the same units, {name} {old} (got {new}). Only edges can be"
                f" changed; make a new layer."
            )
    if layer.labels is not None:
        between = ~stays_independent(graph, layer.labels.cpu())
        if bool(between.any()):
            raise ValueError(
                f"Expected edges within the modules of a layer that is cut (got"
                f" {int(between.sum())} others). Leave them out, or set layer.labels to None first."
            )


def check_can_change(layer: UnitLayer, optimizer: Optimizer | None) -> None:
    """Raise if something that is not told would go on with the edges as they were."""
    if layer.origin is not None:
        raise ValueError(
            "Expected a whole layer (got a part, made by split, which knows where its edges are in"
            " the whole). Rewire the layer and split it again."
        )
    if any(map(is_sharded, layer.parameters())):
        raise ValueError(
            "Expected whole parameters (got DTensors, which other ranks hold a part of). Rewire the"
            " layer before fully_shard."
        )
    if layer._compiled_call_impl is not None:
        raise ValueError(
            "Expected a layer that is not compiled (got one after layer.compile()). Rewire before"
            " it is compiled."
        )
    weight = trained_parameters(layer, "weight")
    if optimizer is not None:
        check_optimizes(optimizer, weight)
    elif has_optimizer(layer.weight):
        raise ValueError(
            "Expected the optimizer of the layer (got none, but one holds its weight, and would go"
            " on with edges that are no more). Use rewire(..., optimizer=optimizer)."
        )
