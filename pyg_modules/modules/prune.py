from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyg_modules.modules.cut import check_modules
from pyg_modules.nn.unit_layer import Layer, check_layer
from pyg_modules.ops.sharding import clear
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure.optimizer_state import check_optimizes, remembered, trained_parameters


@torch.inference_mode(False)  # What is made there could never be trained with.
def prune_cross_edges(layer: Layer, labels: Tensor, *, optimizer: Optimizer | None = None) -> Layer:
    """Switch the edges between modules off, in place, without changing the graph.

    For trying a partition in the middle of a training: the number of edges, the parameters and the
    optimizer stay the same. The weights of removed edges become 0, and from then on they have no
    effect and a gradient of exactly 0; :func:`cut` makes the smaller layer in the end.

    What is left computes what the cut layer does: one with ``normalize_states=True`` gets
    ``labels``, and divides the states of each module apart. It does not where outputs feed back and
    the solver has a ``contraction``: see :class:`~pyg_modules.Equilibrium`.

    An average of the weights, such as ``torch.optim.swa_utils.AveragedModel``, is a copy with
    edges of its own: prune the layer in it by the same ``labels``, or make it afterwards.

    Args:
        layer (UnitLayer): The layer to prune. Its buffer ``edge_mask`` marks the edges that
            are left; edges that were removed before stay removed.
        labels (LongTensor): Module of every unit, ``[N]``, as for :func:`cut`.
        optimizer (torch.optim.Optimizer, optional): The optimizer of the layer. What it remembers
            of removed edges becomes 0 too; else momentum would move their weights on, without
            effect on the outputs. (default: none)

    Returns:
        UnitLayer: The layer itself.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``labels`` has the wrong length, a gap, or leaves a hidden unit shared, or
            for an optimizer as :func:`cut`.
    """
    check_layer(layer)
    labels = check_modules(layer, labels)
    kept = layer.placed(stays_independent(layer.graph, labels))
    state = []
    if optimizer is not None:
        check_optimizes(optimizer, trained_parameters(layer, "weight"))
        state = list(remembered(optimizer, layer.weight).values())
    if layer.edge_mask is not None:
        kept = kept & layer.edge_mask
    for value in state:
        clear(value, kept)
    layer.edge_mask = kept
    if layer.divides_modules_apart:
        layer.place_labels(labels)
    # Weights that are computed from other parameters are left to the mask.
    weight = dict(layer.named_parameters(recurse=False)).get("weight")
    if weight is not None:
        clear(weight, kept)
        if weight.grad is not None:
            clear(weight.grad, kept)
    return layer
