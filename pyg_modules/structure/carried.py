"""What a layer and its optimizer know of edges, on other edges."""

from __future__ import annotations

import copy
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import Layer
from pyg_modules.ops.sharding import whole
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.optimizer_state import remembered
from pyg_modules.structure.possible_edges import NUM_KINDS, kinds


def carried_layer(layer: Layer, graph: UnitGraph, edges: EdgeMap) -> Layer:
    """A new layer on ``graph`` with the weights, biases and labels of ``layer``.

    Weights of new edges are 0. Edges that were pruned stay so if they are among those of
    ``graph``.
    """
    made = layer.on_graph(graph, layer.solver)
    with torch.no_grad():
        made.weight.copy_(edges.carry(whole(layer.weight)))
        if made.bias is not None and layer.bias is not None:
            made.bias.copy_(whole(layer.bias))
    if layer.labels is not None:
        made.labels = layer.labels.clone()
    for name in layer.edge_masks:
        mask = getattr(layer, name)
        if mask is not None:
            is_on = True if name == "edge_mask" else _of_kinds(mask, layer.graph, graph)
            mask = edges.carry(mask, is_on)
            setattr(made, name, None if bool(mask.all()) else mask)
    return made


def carried_state(
    optimizer: Optimizer, parameter: nn.Parameter, edges: EdgeMap
) -> dict[str, Tensor]:
    """What ``optimizer`` remembers of the weights ``parameter``, of those on other edges.

    Of new edges that is what it remembers after a first step without a gradient.

    Raises:
        ValueError: If it remembers something else than values per weight.
    """
    state = remembered(optimizer, parameter)
    first = _first_state(optimizer, parameter) if state and edges.num_added else {}
    return {name: edges.carry(value, first.get(name, 0.0)) for name, value in state.items()}


def _of_kinds(mask: Tensor, old: UnitGraph, new: UnitGraph) -> Tensor:
    """For every edge of ``new``, whether any edge of its kind in ``old``, or else any, is on."""
    on, seen = (
        torch.bincount(kind, minlength=NUM_KINDS) > 0
        for kind in (kinds(old)[mask.cpu()], kinds(old))
    )
    return on.where(seen, mask.any().cpu())[kinds(new)]


def _first_state(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """What ``optimizer`` remembers of one weight that is 0 and has had no gradient but 0."""
    weight = nn.Parameter(torch.zeros_like(parameter[:1]))
    weight.grad = torch.zeros_like(weight)
    group = next(
        group
        for group in optimizer.param_groups
        if any(held is parameter for held in group["params"])
    )
    alike = copy.copy(optimizer)
    alike.state = defaultdict(dict)
    alike.param_groups = [{**group, "params": [weight]}]
    alike.step()
    return remembered(alike, weight)
