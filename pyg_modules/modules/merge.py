from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from pyg_modules.modules.joined_parts import JoinedParts, fitting_parts
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.ops.sharding import whole
from pyg_modules.partition.labels import stays_independent


@torch.inference_mode(False)  # What is made there could never be trained.
def merge(parts: Iterable[nn.Module]) -> UnitLayer:
    r"""One layer whose outputs are the sum of those of the parts; the inverse of :func:`split`.

    .. math::
        \mathrm{layer}(x) = \sum_k \mathrm{part}_k(x)

    Parts made by :func:`split` get back their places in the layer that they come from, also after
    they were trained on their own. The hidden units of others are lined up, part by part.

    Args:
        parts (iterable of UnitLayer): Layers with the same numbers of inputs and outputs,
            solver, ``dropout`` and fixed ``update_rate``.

    Returns:
        UnitLayer: As :func:`cut` returns it, with copies of the weights, and ``labels`` that
        tell the parts apart, and the modules of a part that is cut itself. The ``contraction`` of
        an ``Equilibrium`` is in its weights, and no longer in its solver.

    Raises:
        TypeError: If a part is no layer of units.
        ValueError: If there are no parts, they do not fit together, or they disagree about an
            output that feeds back.
    """
    listed = fitting_parts(parts)
    joined = JoinedParts(listed)
    if joined.graph.has_feedback:
        _check_feedback(listed, joined)
    first = listed[0]
    layer = first.on_graph(joined.graph, first.solver.without_scaling(), joined.dynamics(listed))
    with torch.no_grad():
        layer.weight.copy_(joined.weight(listed))
        if layer.bias is not None:
            layer.bias.copy_(joined.bias(listed))
    layer.place_labels(joined.labels)
    layer.weight.requires_grad_(any(part.weight.requires_grad for part in listed))
    if layer.bias is not None:
        biases = [part.bias for part in listed if part.bias is not None]
        layer.bias.requires_grad_(any(bias.requires_grad for bias in biases))
    for name in layer.edge_masks:
        mask = joined.mask(listed, name)
        if mask is not None:
            setattr(layer, name, layer.placed(mask))
    return layer


def _check_feedback(parts: Sequence[UnitLayer], joined: JoinedParts) -> None:
    """Raise unless every edge from an output carries the sum of that output over all parts.

    It does where the part with the edge is the only one that adds to the output, or where all parts
    have the edge, with the same weight.
    """
    feedback = [_feedback(part) for part in parts]
    for number, edges in enumerate(feedback):
        for (output, target), weight in edges.items():
            for other, other_edges in enumerate(feedback):
                if other == number or not _adds_to(parts[other], output):
                    continue
                if target >= 0 or other_edges.get((output, target)) != weight:
                    raise ValueError(
                        f"Expected parts that agree about the edges from output {output} (got"
                        f" others in part {number} than in part {other}, which adds to it too)."
                        f" The sum of these parts is not one layer."
                        " Keep them apart, in a ModularGraph."
                    )
    if not bool(stays_independent(joined.graph, joined.labels).all()):
        raise ValueError(
            "Expected outputs that feed back to belong to one part each (got one with edges to"
            " several)."
            " Keep the parts apart, in a ModularGraph."
        )


def _feedback(part: UnitLayer) -> dict[tuple[int, int], Any]:
    """Weights of the edges from outputs, by output and target: −1 − output, or a hidden unit."""
    graph, start = part.graph, part.graph.outputs.start
    edges: dict[tuple[int, int], Any] = {}
    weights = part.scaled_weight().tolist()
    for edge in (graph.edge_index[0] >= start).nonzero().flatten().tolist():
        source, target = graph.edge_index[:, edge].tolist()
        edges[source - start, start - target - 1 if target >= start else target] = weights[edge]
    return edges


def _adds_to(part: UnitLayer, output: int) -> bool:
    graph = part.graph
    unit = graph.outputs.start + output
    has_bias = part.bias is not None and bool(whole(part.bias)[graph.num_hidden + output] != 0)
    return has_bias or bool((graph.edge_index[1] == unit).any())
