"""Independent implementations of the definitions, on dense matrices, written for clarity."""

import torch
from torch import Tensor, nn

from pyg_modules import SynchronousGraph

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "elu": nn.functional.elu,
    "softplus": nn.functional.softplus,
    "identity": lambda sums: sums,
}


def dense_states(layer: SynchronousGraph, x: Tensor) -> Tensor:
    """States of all units [B, N] after all updates, unit by unit as in the docstring."""
    graph = layer.graph
    matrix = x.new_zeros(graph.num_units, graph.num_units)
    matrix = matrix.index_put((graph.edge_index[1], graph.edge_index[0]), layer.weight)
    bias = torch.cat([x.new_zeros(graph.num_inputs), layer.bias])
    first, last = graph.hidden.start, graph.hidden.stop
    state = torch.cat([x, x.new_zeros(len(x), graph.num_units - graph.num_inputs)], dim=1)

    def update(state: Tensor) -> Tensor:
        sums = state @ matrix.T + bias
        activated = ACTIVATIONS[layer.activation](sums[:, first:last])
        return torch.cat([x, activated, sums[:, last:]], dim=1)

    for _ in range(layer.solver.steps):
        state = update(state)
    return torch.cat([state[:, :last], update(state)[:, last:]], dim=1)


def dense_ncut(
    edge_index: Tensor, weight: Tensor, assignment: Tensor, affinity: str = "abs"
) -> Tensor:
    """The soft normalized cut, by its formula."""
    num_units = len(assignment)
    matrix = weight.new_zeros(num_units, num_units)
    matrix[edge_index[1], edge_index[0]] = weight
    strength = {"abs": matrix.abs(), "square": matrix**2}[affinity]
    symmetric = (strength + strength.T) / 2
    terms = []
    for column in assignment.T:
        volume = column @ symmetric @ torch.ones_like(column)
        association = column @ symmetric @ column
        terms.append(1 - association / volume if volume > 0 else torch.ones_like(volume))
    return torch.stack(terms).mean()


def dense_cost_balance(edge_index: Tensor, assignment: Tensor) -> Tensor:
    """The balance of the soft numbers of edges within modules, by its formula."""
    num_modules = assignment.size(1)
    pairs = zip(*edge_index.tolist(), strict=True)
    costs = sum(
        (assignment[i] * assignment[j] for j, i in pairs), torch.zeros(num_modules).double()
    )
    shares = costs / costs.sum() if costs.sum() > 0 else torch.full_like(costs, 1 / num_modules)
    return num_modules * ((shares - 1 / num_modules) ** 2).sum()
