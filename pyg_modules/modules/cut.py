from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.graph import UnitGraph
from pyg_modules.nn import SynchronousGraph, check_layer
from pyg_modules.partition.labels import SHARED, check_labels


def cut(layer: SynchronousGraph, labels: Tensor) -> SynchronousGraph:
    """A new layer without the edges between modules.

    An edge is kept if it stays within a module, leaves a shared input, enters a shared output from
    a module, or joins two shared units. What goes: edges between two modules, and feedback from a
    shared output into a module, which would carry one module's state into another.

    Args:
        layer (SynchronousGraph): The layer to cut. It is left as it is.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for inputs and outputs that all
            modules share, e.g. ``PartitionRegularizer.labels()``.

    Returns:
        SynchronousGraph: Same units, biases, solver, activation and backend, fewer edges; the
        kept weights are copied in their order, and ``labels`` is stored as an attribute.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph`` or ``labels`` not an integer tensor.
        ValueError: If ``labels`` has the wrong length, a gap, or leaves a hidden unit shared.
    """
    check_layer(layer)
    graph = layer.graph
    check_labels(labels, graph.num_units)
    labels = labels.detach().cpu().long()
    hidden = labels[graph.hidden.start : graph.hidden.stop]
    if bool((hidden == SHARED).any()):
        unit = graph.hidden.start + int((hidden == SHARED).nonzero()[0])
        raise ValueError(
            f"Expected every hidden unit in a module (got {SHARED} for unit {unit}). A hidden unit"
            f" that modules share would connect them; give it to one of them."
        )
    kept = stays_independent(graph, labels)
    modular = SynchronousGraph(
        UnitGraph(graph.edge_index[:, kept], graph.num_units, graph.num_inputs, graph.num_outputs),
        layer.solver,
        layer.activation,
        backend=layer.backend,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        modular.weight.copy_(layer.weight[kept.to(layer.weight.device)])
        modular.bias.copy_(layer.bias)
    modular.labels = labels.to(layer.weight.device)
    modular.train(layer.training)
    return modular


def stays_independent(graph: UnitGraph, labels: Tensor) -> Tensor:
    """Which edges carry no state from one module into another, ``[E]``."""
    source_id = graph.edge_index[0]
    source, target = labels[graph.edge_index]
    stays: Tensor = (
        (source == target)
        | ((source == SHARED) & (source_id < graph.num_inputs))
        | ((source != SHARED) & (target == SHARED))
    )
    return stays
