from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyg_modules.nn.unit_layer import Layer, UnitLayer, check_layer
from pyg_modules.ops.sharding import is_sharded
from pyg_modules.partition.labels import SHARED, read_labels, stays_independent
from pyg_modules.partition.liveliness import check_alive
from pyg_modules.partition.units import Units
from pyg_modules.structure.carried import carried_layer, carried_state
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.left_behind import (
    move_hooks,
    warn_of_hooks,
    watch_for_optimizer,
    watch_left_behind,
)
from pyg_modules.structure.optimizer_state import (
    check_optimizes,
    replace_parameter,
    trained_parameters,
)


@torch.inference_mode(False)  # What is made there could never be trained.
def cut(layer: Layer, labels: Tensor, *, optimizer: Optimizer | None = None) -> Layer:
    """A new layer without the edges between modules.

    An edge is kept if it stays within a module, leaves a shared input, enters a shared output from
    a module, or joins two shared units. What goes: edges between two modules, and feedback from a
    shared output into a module, which would carry one module's state into another; and those that
    were pruned, by :func:`prune_cross_edges` or ``torch.nn.utils.prune``.

    An average of the weights, such as ``torch.optim.swa_utils.AveragedModel``, is made of the new
    layer, after the cut.

    An optimizer holds the parameters that it was made with: without ``optimizer=``, the one of
    ``layer`` trains ``layer`` on, and the new layer not at all. Where that happens, a warning says
    so.

    Args:
        layer (UnitLayer): The layer to cut. It is left as it is.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for inputs and outputs that all
            modules share, e.g. ``PartitionRegularizer.labels()``; or a list or an array of them.
        optimizer (torch.optim.Optimizer, optional): The optimizer of the layer. It goes on with the
            parameters of the new layer, and with what it remembers of the edges that are kept, as
            do hooks on gradients of parameters; it no longer trains ``layer``, nor others that
            share its parameters. (default: none)

    Returns:
        UnitLayer: Same units, biases, solver, activations and backend, fewer edges; the
        kept weights are copied in their order, and ``labels`` is stored as an attribute. Of a
        layer that ``fully_shard`` spread over ranks, every rank gets a whole one.

    Raises:
        TypeError: If ``layer`` is no layer of units or ``labels`` not an integer tensor.
        ValueError: If ``labels`` has the wrong length, a gap, or leaves a hidden unit shared; or if
            a module would lose all paths from an input to an output. With an optimizer: if it is
            not that of the layer, works through another one, or remembers something else than
            values per weight; or if the layer is parametrized.

    Warns:
        UserWarning: If units would lose all paths, though their module does not; if a module
            would have none until weights that are 0 are trained; or if ``layer``
            has hooks, which the new one has not. Later, at the first gradient of the new
            layer, if the optimizer of ``layer`` still is, and none holds the new one; or at that of
            ``layer``, if its optimizer went on with the new one.
    """
    check_layer(layer)
    warn_of_hooks(layer)
    graph = layer.graph
    labels = check_modules(layer, labels)
    check_alive(Units(layer), labels)
    kept = stays_independent(graph, labels)
    unpruned = layer.kept_edges
    if unpruned is not None:
        kept &= unpruned
    position = kept.nonzero().view(-1)
    edges = EdgeMap(position, torch.arange(len(position), device="cpu"), len(position))
    state = {}
    if optimizer is not None:
        own = trained_parameters(layer, *([] if layer.bias is None else ["bias"]), "weight")
        check_optimizes(optimizer, own | dict(layer.dynamics.named_parameters()))
        if any(map(is_sharded, layer.parameters())):
            raise ValueError(
                "Expected an optimizer of whole parameters (got DTensors, which other ranks hold a"
                " part of). Cut without optimizer= and shard the new layer, or use"
                " prune_cross_edges(layer, labels, optimizer=...)."
            )
        state = carried_state(optimizer, layer.weight, edges)
    modular = carried_layer(layer, graph.with_edges(graph.edge_index[:, kept]), edges)
    modular.place_labels(labels.clone())
    if optimizer is None:
        watch_for_optimizer(layer, modular.weight)
    else:
        move_hooks(layer.weight, modular.weight)
        replace_parameter(optimizer, layer.weight, modular.weight, state)
        watch_left_behind(layer.weight)
        if layer.weight.grad is not None:
            modular.weight.grad = edges.carry(layer.weight.grad)
        others = list(zip(layer.dynamics.parameters(), modular.dynamics.parameters(), strict=True))
        if layer.bias is not None and modular.bias is not None:
            others.append((layer.bias, modular.bias))
        for old, new in others:
            move_hooks(old, new)
            replace_parameter(optimizer, old, new)
            new.grad = None if old.grad is None else old.grad.clone()
    return modular


def check_modules(layer: UnitLayer, labels: Tensor) -> Tensor:
    """``labels`` on the CPU, if they give every hidden unit of ``layer`` a module.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` has the wrong length, a gap, or leaves a hidden unit shared.
    """
    graph = layer.graph
    labels, _ = read_labels(labels, graph.num_units)
    labels = labels.detach().cpu().long()
    hidden = labels[graph.hidden.start : graph.hidden.stop]
    if bool((hidden == SHARED).any()):
        unit = graph.hidden.start + int((hidden == SHARED).nonzero()[0])
        raise ValueError(
            f"Expected every hidden unit in a module (got {SHARED} for unit {unit}). A hidden unit"
            f" that modules share would connect them; give it to one of them."
        )
    return labels
