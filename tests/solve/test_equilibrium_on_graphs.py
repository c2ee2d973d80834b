"""An equilibrium on a graph is reached where every node agrees with its neighbours."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_modules import Equilibrium, SynchronousConv, UnitGraph
from tests.strategies import generator, normal


def conv(memory=0, tol=1e-4, max_steps=500, activation="identity", **kwargs):
    solver = Equilibrium(tol, max_steps, memory, contraction=0.9, throw=True)
    graph = UnitGraph.complete(2, 5, 3)
    kwargs = {"bias": False, "dtype": torch.float64, "generator": generator(0), **kwargs}
    return SynchronousConv(graph, solver=solver, activation=activation, **kwargs)


def chain(length, directed=False):
    node = torch.arange(length - 1)
    forwards = torch.stack([node, node + 1])
    return forwards if directed else torch.cat([forwards, forwards.flip(0)], dim=1)


def exact(layer, x, edge_index):
    """The hidden states of a linear layer, by one system of equations of all nodes."""
    graph, (own, looking) = layer.graph, layer.scaled_weight().detach().unbind(1)
    matrices = torch.zeros(2, graph.num_units, graph.num_units, dtype=own.dtype)
    source, target = graph.edge_index
    matrices[0, target, source], matrices[1, target, source] = own, looking
    num_nodes, hidden = len(x), slice(graph.hidden.start, graph.hidden.stop)
    data = layer._data(edge_index, None, num_nodes)
    adjacency = torch.zeros(num_nodes, num_nodes, dtype=own.dtype)
    adjacency.index_put_(tuple(data.edge_index.flip(0)), data.weight, accumulate=True)
    eye = torch.eye(num_nodes, dtype=own.dtype)
    pairs = [(eye, matrices[0]), (adjacency, matrices[1])]
    inner = [torch.kron(a, m[hidden, hidden]) for a, m in pairs]
    inject = sum(a @ x @ m[hidden, : graph.num_inputs].T for a, m in pairs)
    system = torch.eye(num_nodes * graph.num_hidden, dtype=own.dtype) - sum(inner)
    return torch.linalg.solve(system, inject.flatten()).view(num_nodes, -1)


@pytest.mark.parametrize("memory", [0, 3])
@pytest.mark.parametrize("directed", [False, True])
def test_what_comes_to_a_node_from_far_away_is_exact_though_it_is_small(memory, directed):
    layer, x = conv(memory), torch.zeros(60, 2, dtype=torch.float64)
    x[0] = 1.0
    edge_index = chain(60, directed)
    expected = exact(layer, x, edge_index)
    states = layer.states(x, edge_index).detach()[:, 2:7]
    largest = expected.abs().amax(dim=1)
    assert largest[-1] < 1e-8 * largest[0]
    error = (states - expected).abs().amax(dim=1) / largest
    assert float(error.max()) < 1e-2


def test_gradients_come_back_from_far_away_though_they_are_small():
    layer, edge_index = conv(tol=1e-6), chain(40)
    x = torch.ones(40, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x, edge_index)[-1].sum(), x)
    far = gradient[0].abs().max()
    assert 0 < far < 1e-5 * gradient[-1].abs().max()
    step, shifted = 1e-3, x.detach().clone()
    shifted[0, 0] += step
    with torch.no_grad():  # It is linear.
        before, after = (layer(each, edge_index)[-1].sum() for each in (x, shifted))
    # Digits are lost in the difference; that it is there at all is what counts.
    assert float(gradient[0, 0]) == pytest.approx(float((after - before) / step), rel=1e-2)


def test_a_graph_has_the_same_equilibrium_beside_one_with_large_states():
    layer = conv(tol=1e-6, activation="tanh")
    small = Data(x=1e-6 * normal(8, 2), edge_index=chain(8))
    large = Data(x=1e3 * normal(6, 2), edge_index=chain(6))
    batch = Batch.from_data_list([large, small])
    alone = layer(small.x, small.edge_index)
    together = layer(batch.x, batch.edge_index)[6:]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=0)


def test_a_node_where_signals_cancel_out_does_not_keep_others_waiting():
    layer = conv(tol=1e-5, dtype=torch.float32)
    x = torch.zeros(9, 2)
    x[0], x[-1] = 1.0, -1.0
    solution = layer.solve(x, chain(9))
    assert bool(solution.converged.all())
    assert int(solution.steps) < 200
    hidden = solution.states.detach()[:, 2:7].abs().amax(dim=1)
    assert float(hidden[4]) < 1e-4 * float(hidden[0])


def test_nodes_that_nothing_comes_to_agree_at_once():
    layer = conv()
    x = torch.zeros(5, 2, dtype=torch.float64)
    solution = layer.solve(x, chain(5))
    assert (float(solution.residual), int(solution.steps)) == (0.0, 1)
    assert not solution.states.any()
