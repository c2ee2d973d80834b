from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.origin import Origin
from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.ops.sharding import whole
from pyg_modules.partition.labels import SHARED, check_labels, stays_independent
from pyg_modules.structure.left_behind import warn_of_hooks


@torch.inference_mode(False)  # What is made there could never be trained.
def split(layer: UnitLayer) -> nn.ModuleList:
    r"""The modules of a cut layer, as independent layers whose outputs add up to its outputs.

    .. math::
        \sum_k \mathrm{part}_k(x) = \mathrm{layer}(x)

    Every part has all inputs and all outputs of the layer, and the hidden units of one module.
    Outputs are linear, so what is shared can be given away: the biases of shared outputs and the
    edges from inputs to shared outputs go to the first part alone, edges between shared outputs to
    every part. The other parts have biases of outputs, too, which are 0: where all parts are
    trained together, each takes a step of its own, where the layer takes one.

    Args:
        layer (UnitLayer): A layer made by :func:`cut`.

    Returns:
        torch.nn.ModuleList: One layer per module, with copies of the weights,
        as ``Equilibrium(contraction=...)`` scaled them; the parts do not scale them again. Its
        ``origin`` says which units of the layer it has. :func:`merge` is the inverse.

    Raises:
        TypeError: If ``layer`` is no layer of units.
        ValueError: If ``layer`` was not made by :func:`cut`, or has edges between modules.

    Warns:
        UserWarning: If ``layer`` has hooks, which the parts have not.
    """
    check_layer(layer)
    warn_of_hooks(layer)
    if layer.labels is None:
        raise ValueError(
            "Expected a layer made by cut(layer, labels) (got one without labels). Cut it first;"
            " a layer of a graph that is cut already, too, gets its labels so."
        )
    labels = layer.labels.cpu()
    num_modules = check_labels(labels, layer.graph.num_units)
    if num_modules == 0:
        raise ValueError(
            "Expected a module at least (got labels under which all units are shared). A layer"
            " without hidden units is one part: use it as it is."
        )
    if not bool(stays_independent(layer.graph, labels).all()):
        raise ValueError(
            "Expected no edge between modules (got a layer with some). Cut it again:"
            " cut(layer, layer.labels)."
        )
    return nn.ModuleList(_part(layer, labels, module) for module in range(num_modules))


def _part(layer: UnitLayer, labels: Tensor, module: int) -> UnitLayer:
    graph = layer.graph
    unit_ids = torch.arange(graph.num_units, device="cpu")
    is_hidden = (unit_ids >= graph.hidden.start) & (unit_ids < graph.hidden.stop)
    # Inputs and outputs keep their places in every part.
    present = ~is_hidden | (labels == module)
    new_ids = torch.cumsum(present, dim=0) - 1

    kept = _edges_of(graph, labels, module)
    part = layer.on_graph(
        UnitGraph(
            new_ids[graph.edge_index[:, kept]],
            int(present.sum()),
            graph.num_inputs,
            graph.num_outputs,
        ),
        layer.solver.without_scaling(),
        layer.dynamics.select(unit_ids[is_hidden & present] - graph.num_inputs),
    )
    owned = (labels == module) | ((labels == SHARED) & (module == 0))
    device, edge_ids = layer.device, kept.nonzero().flatten()
    with torch.no_grad():
        # By their numbers, which a layer without values, on meta, knows too.
        part.weight.copy_(layer.scaled_weight()[edge_ids.to(device)])
        if part.bias is not None and layer.bias is not None:
            bias = torch.where(owned[graph.num_inputs :].to(device), whole(layer.bias), 0.0)
            part.bias.copy_(bias[present[graph.num_inputs :].nonzero().flatten().to(device)])
    for name in layer.edge_masks:
        mask = getattr(layer, name)
        if mask is not None and not bool(mask.cpu()[kept].all()):
            setattr(part, name, part.placed(mask.cpu()[kept]))
    part.origin = Origin(module, unit_ids[present], labels[present], edge_ids)
    return part


def _edges_of(graph: UnitGraph, labels: Tensor, module: int) -> Tensor:
    """Which edges the part of ``module`` gets, ``[E]``."""
    source, target = labels[graph.edge_index]
    within: Tensor = (source == module) | (target == module)
    shared: Tensor = (source == SHARED) & (target == SHARED)
    if module != 0:
        shared &= graph.edge_index[0] >= graph.num_inputs
    return within | shared
