"""``SynchronousConv`` by its definition, on dense matrices in float64, written for clarity."""

import torch
from torch import Tensor

from pyg_modules import SynchronousConv
from tests.references import ACTIVATIONS


def dense_adjacency(
    edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, normalize, add_self_loops: bool
) -> Tensor:
    """The matrix ``a``, rows are targets; edges that join the same nodes add up."""
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.size(1), dtype=torch.float64)
    matrix = edge_weight.new_zeros(num_nodes, num_nodes)
    matrix = matrix.index_put((edge_index[1], edge_index[0]), edge_weight, accumulate=True)
    if add_self_loops:
        loops = edge_index[0, edge_index[0] == edge_index[1]]
        missing = torch.ones(num_nodes, dtype=matrix.dtype).index_fill(0, loops, 0)
        matrix = matrix + torch.diag(missing)
    degree = matrix.sum(dim=1)
    inverse = torch.where(degree > 0, 1 / degree.where(degree > 0, 1), 0)
    if normalize == "mean":
        return inverse[:, None] * matrix
    if normalize:
        root = torch.where(degree > 0, inverse.where(degree > 0, 1).sqrt(), 0)
        return root[:, None] * matrix * root
    return matrix


def dense_matrices(layer: SynchronousConv, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``W`` and ``U`` of all units, ``[N, N]`` each."""
    weight = layer.weight if weight is None else weight
    graph = layer.graph
    source, target = graph.edge_index
    looks = layer.neighbours
    if looks is not None:
        weight = torch.stack([weight[:, 0], weight[:, 1] * looks], dim=1)
    if layer.edge_mask is not None:
        weight = weight * layer.edge_mask[:, None]
    empty = weight.new_zeros(graph.num_units, graph.num_units)
    return tuple(empty.index_put((target, source), column) for column in weight.T)


def dense_step(layer: SynchronousConv, states: Tensor, adjacency: Tensor, matrices=None) -> Tensor:
    """One update of ``states`` [V, N]."""
    own, looking = dense_matrices(layer) if matrices is None else matrices
    graph = layer.graph
    sums = states @ own.T + adjacency @ states @ looking.T
    if layer.bias is not None:
        sums = sums + torch.cat([layer.bias.new_zeros(graph.num_inputs), layer.bias])
    first, last = graph.hidden.start, graph.hidden.stop
    activated = ACTIVATIONS[layer.activation](sums[..., first:last])
    return torch.cat([states[..., :first], activated, sums[..., last:]], dim=-1)


def dense_states(layer: SynchronousConv, x: Tensor, adjacency: Tensor, steps: int) -> Tensor:
    """States of all units of all nodes, ``[V, N]``, after so many updates and a read-out."""
    graph = layer.graph
    matrices = dense_matrices(layer)
    states = torch.cat([x, x.new_zeros(*x.shape[:-1], graph.num_units - graph.num_inputs)], -1)
    for _ in range(steps):
        states = dense_step(layer, states, adjacency, matrices)
    read = states
    if layer.settings["normalize_states"]:
        first, last = graph.hidden.start, graph.hidden.stop
        hidden = states[..., first:last]
        largest = hidden.abs().amax(dim=-1, keepdim=True)
        read = torch.cat([states[..., :first], hidden / largest, states[..., last:]], dim=-1)
    outputs = dense_step(layer, read, adjacency, matrices)[..., graph.outputs.start :]
    return torch.cat([states[..., : graph.outputs.start], outputs], dim=-1)
