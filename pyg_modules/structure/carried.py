"""What a layer and its optimizer know of edges, on other edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import Layer
from pyg_modules.ops.sharding import whole
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.optimizer_state import remembered
from pyg_modules.structure.possible_edges import NUM_KINDS, kinds

# What optimizers of torch remember that may be negative, though it may happen not to be.
_SIGNED = ("exp_avg", "momentum_buffer", "grad_avg", "prev", "ax")


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

    Of new edges that is 0; or the mean, where none is negative, as of second moments, and it is no
    momentum or average of weights. By 0, Adam would take steps several times as large as for
    others.

    Raises:
        ValueError: If it remembers something else than values per weight.
    """
    state = remembered(optimizer, parameter)
    return {name: edges.carry(value, _of_new_edges(name, value)) for name, value in state.items()}


def _of_new_edges(name: str, value: Tensor) -> Tensor | float:
    is_scale = value.is_floating_point() and value.numel() > 0 and bool((value >= 0).all())
    return value.mean() if is_scale and name not in _SIGNED else 0.0


def _of_kinds(mask: Tensor, old: UnitGraph, new: UnitGraph) -> Tensor:
    """For every edge of ``new``, whether any edge of its kind in ``old``, or else any, is on."""
    on, seen = (
        torch.bincount(kind, minlength=NUM_KINDS) > 0
        for kind in (kinds(old)[mask.cpu()], kinds(old))
    )
    return on.where(seen, mask.any().cpu())[kinds(new)]
