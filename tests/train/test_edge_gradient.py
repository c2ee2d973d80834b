"""Gradients of missing edges are those that autograd finds on the graph that has them."""

import random

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.train import EdgeGradient
from tests.strategies import backends, generator, normal

COMPLETE = UnitGraph.complete(3, 8, 2)
SPARSE = UnitGraph.erdos_renyi(3, 8, 2, 0.3, generator=generator(0), repair=True)


def new_layer(graph=SPARSE, **settings):
    settings = {"solver": Unrolled(4), "activation": "tanh", **settings}
    layer = SynchronousGraph(graph, dtype=torch.float64, **settings)
    layer.reset_parameters(generator(1))
    return layer


def data(num_samples=30):
    return normal(num_samples, 3, seed=1), normal(num_samples, 2, seed=2)


def place(graph):
    return graph.edge_index[0] * graph.num_units + graph.edge_index[1]


def unrolled_by_hand(layer, x, y):
    """The gradient in a dense matrix of weights, by autograd; the loss is the mean square."""
    graph = layer.graph
    matrix = torch.zeros(graph.num_units, graph.num_units, dtype=torch.float64)
    matrix[graph.edge_index[1], graph.edge_index[0]] = layer.weight.detach()
    matrix.requires_grad_()
    states = torch.cat([x, torch.zeros(len(x), graph.num_units - 3, dtype=x.dtype)], dim=1)
    bias = layer.bias.detach()
    for _ in range(layer.solver.steps):
        sums = states @ matrix.T
        hidden = torch.tanh(sums[:, 3:-2] + bias[:-2])
        states = torch.cat([x, hidden, states[:, -2:]], dim=1)
    outputs = (states @ matrix.T)[:, -2:] + bias[-2:]
    (gradient,) = torch.autograd.grad(F.mse_loss(outputs, y), matrix)
    return gradient


@pytest.mark.parametrize("backend", backends)
def test_they_are_those_of_a_dense_matrix_with_zeros(backend):
    layer, (x, y) = new_layer(backend=backend), data()
    probe = EdgeGradient(layer, (x, y), loss=F.mse_loss, batch_size=30)
    before = layer.weight.detach().clone()
    (found,) = probe([COMPLETE], seed=0)
    source, target = COMPLETE.edge_index
    expected = unrolled_by_hand(layer, x, y)[target, source]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert found[~torch.isin(place(COMPLETE), place(SPARSE))].abs().min() > 0
    assert layer.graph is SPARSE
    assert torch.equal(layer.weight, before)
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    "solver", [Equilibrium(tol=1e-12, contraction=0.9), Unrolled(5, checkpoint=True)]
)
def test_they_are_those_of_the_complete_graph_for_every_solver(solver):
    layer, (x, y) = new_layer(solver=solver), data()
    whole = new_layer(COMPLETE, solver=solver)
    is_there = torch.isin(place(COMPLETE), place(SPARSE))
    with torch.no_grad():
        whole.weight.zero_()
        position = {int(key): number for number, key in enumerate(place(COMPLETE))}
        where = torch.tensor([position[int(key)] for key in place(SPARSE)])
        whole.weight[where] = layer.weight
        whole.bias.copy_(layer.bias)
    F.mse_loss(whole(x), y).backward()
    probe = EdgeGradient(layer, (x, y), loss=F.mse_loss, batch_size=30)
    (found,) = probe([COMPLETE], seed=0)
    torch.testing.assert_close(found, whole.weight.grad, rtol=1e-6, atol=1e-9)
    assert not is_there.all()
    # Those of a part of the missing edges are the same.
    some = torch.ones_like(is_there)
    some[(~is_there).nonzero()[::2, 0]] = False
    part = UnitGraph(COMPLETE.edge_index[:, some], 13, 3, 2)
    (of_part,) = probe([part], seed=0)
    torch.testing.assert_close(of_part, found[some], rtol=1e-6, atol=1e-9)


def test_the_batch_is_that_of_the_seed_and_the_same_for_all_graphs():
    x, y = data()
    model = nn.Sequential(new_layer(), nn.Dropout(0.5), nn.Linear(2, 2, dtype=torch.float64))
    probe = EdgeGradient(model, (x, y), loss=F.mse_loss, batch_size=5)
    first, again = probe([SPARSE, SPARSE], seed=0)
    (other,) = probe([SPARSE], seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_graph_before_with_fewer_edges_changes_nothing():
    layer, (x, y) = new_layer(COMPLETE), data()
    probe = EdgeGradient(layer, (x, y), loss=F.mse_loss, batch_size=30)
    fewer = COMPLETE.with_edges(COMPLETE.edge_index[:, ::2])
    (alone,) = probe([COMPLETE], seed=0)
    _, after = probe([fewer, COMPLETE], seed=0)
    assert torch.equal(after, alone)


def test_the_training_goes_on_as_if_nothing_was():
    dataset = TensorDataset(*data())
    loader = DataLoader(dataset, batch_size=5, shuffle=True, generator=generator(3))
    model = nn.Sequential(new_layer(), nn.BatchNorm1d(2, dtype=torch.float64))
    model.train()
    states = torch.get_rng_state(), loader.generator.get_state(), random.getstate()
    of_numpy = numpy.random.get_state()[1].copy()
    running = model[1].running_mean.clone()
    with torch.inference_mode():
        (found,) = EdgeGradient(model, loader, loss=F.mse_loss)([COMPLETE], seed=0)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(loader.generator.get_state(), states[1])
    assert random.getstate() == states[2]
    assert numpy.array_equal(numpy.random.get_state()[1], of_numpy)
    assert torch.equal(model[1].running_mean, running)
    assert model.training
    assert found.count_nonzero() == COMPLETE.num_edges


def test_the_layer_must_be_told_from_others():
    model = nn.Sequential(new_layer(), new_layer())
    with pytest.raises(ValueError, match=r"one layer .* \(got a model with 2 of them\). Say which"):
        EdgeGradient(model, data(), loss=F.mse_loss)
