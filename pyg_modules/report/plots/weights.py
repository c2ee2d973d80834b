from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm

from pyg_modules.nn.unit_layer import UnitLayer


def check_hidden(layer: UnitLayer) -> None:
    """Raise unless the layer has hidden units."""
    if layer.graph.num_hidden == 0:
        raise ValueError(
            "Expected a layer with hidden units (got none). There are no weights between them to"
            " draw."
            " Add some: UnitGraph.complete(num_inputs, num_hidden, num_outputs)."
        )


def darkest(layer: UnitLayer) -> float | None:
    """A scale for several matrices of weights: few edges are so large that the others were white.

    Returns:
        float, optional: The magnitude that 1 % of the weights between hidden units exceed.
    """
    magnitude = hidden_weights(layer).abs().flatten()
    magnitude = magnitude[magnitude > 0]
    if len(magnitude) == 0:
        return None
    rank = max(1, round(0.99 * len(magnitude)))
    return float(magnitude.kthvalue(rank).values)


def drawn_weights(layer: UnitLayer) -> Tensor:
    """The weights as the solver uses them, on the CPU, ``[E]``; of a kernel, the norm."""
    weight = layer.scaled_weight().detach().cpu()
    return weight if weight.dim() == 1 else vector_norm(weight.flatten(1), dim=1)


def hidden_weights(layer: UnitLayer) -> Tensor:
    """The dense matrix of the weights ``w_ij`` from hidden unit j to hidden unit i, ``[H, H]``.

    They are those of :func:`drawn_weights`.
    """
    graph = layer.graph
    source, target = graph.edge_index - graph.num_inputs
    inside = (source >= 0) & (target >= 0)
    inside &= (source < graph.num_hidden) & (target < graph.num_hidden)
    weight = drawn_weights(layer)[inside]
    matrix = weight.new_zeros(graph.num_hidden, graph.num_hidden)
    matrix[target[inside], source[inside]] = weight
    return matrix
