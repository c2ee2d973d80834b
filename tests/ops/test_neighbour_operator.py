import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from pyg_modules import Equilibrium, UnitGraph, Unrolled
from pyg_modules.ops import (
    ACTIVATIONS,
    BACKENDS,
    EdgeSet,
    NeighbourOperator,
    Neighbours,
    Update,
    bind,
)
from pyg_modules.solve.recurrence import Recurrence
from tests.references import ACTIVATIONS as FUNCTIONS
from tests.strategies import backends, generator, normal, seeds, smooth_activations, unit_graphs

NAMES = pytest.mark.parametrize("name", backends)


@st.composite
def data_graphs(draw):
    """Directed edges among few nodes: isolated ones, self-loops, and edges there more than once."""
    num_nodes = draw(st.integers(1, 5))
    num_edges = draw(st.integers(0, 8))
    return torch.randint(num_nodes, (2, num_edges), generator=generator(draw(seeds))), num_nodes


def matrix_of(rows, columns, weight, source, target):
    matrix = torch.zeros(rows, columns, dtype=weight.dtype)
    return matrix.index_put((target, source), weight, accumulate=True)


class Problem:
    """An operator over a square set of edges or not, its weights, and its matrix."""

    def __init__(self, name, graph, data, seed, is_square=False, **settings):
        edge_index, self.num_nodes = data
        sources = graph.hidden if name == "block" or is_square else range(graph.num_units)
        self.edges = EdgeSet.between(graph.edge_index, sources, graph.hidden)
        self.source, self.target = edge_index
        neighbours = Neighbours(self.source, self.target, self.num_nodes)
        units = BACKENDS[name].build(self.edges)
        self.operator = NeighbourOperator.over(units, neighbours, **settings)
        self.weight = normal(2 * self.edges.num_edges + edge_index.size(1), seed=seed)

    def matrix(self, weight):
        """``W (x) I + U (x) A``, differentiable."""
        edges, count = self.edges, self.edges.num_edges
        shape = edges.num_targets, edges.num_sources
        own = matrix_of(*shape, weight[:count], edges.source, edges.target)
        identity = torch.eye(self.num_nodes, dtype=weight.dtype)
        looking = matrix_of(*shape, weight[count : 2 * count], edges.source, edges.target)
        data = matrix_of(
            self.num_nodes, self.num_nodes, weight[2 * count :], self.source, self.target
        )
        return torch.kron(own, identity) + torch.kron(looking, data)


@NAMES
@settings(max_examples=20)
@given(unit_graphs(), data_graphs(), st.integers(0, 3), seeds)
def test_it_is_a_sum_of_kronecker_products(name, graph, data, batch, seed):
    problem = Problem(name, graph, data, seed)
    operator, weight, matrix = problem.operator, problem.weight, problem.matrix(problem.weight)
    state = normal(operator.num_sources, batch, seed=seed)
    result = bind(operator, weight)(state)
    torch.testing.assert_close(result, matrix @ state, rtol=0, atol=1e-12)
    if name == "scatter" or name == "block":
        return  # The one has no layout of its own for kernels, the other another.
    out = torch.empty(operator.num_targets, batch, dtype=torch.float64)
    operator.matmul(operator.prepare(weight), state, out)
    torch.testing.assert_close(out, matrix @ state, rtol=0, atol=1e-12)
    grad = normal(operator.num_targets, batch, seed=seed + 1)
    out = torch.empty(operator.num_sources, batch, dtype=torch.float64)
    operator.matmul_transposed(operator.prepare_transposed(weight), grad, out)
    torch.testing.assert_close(out, matrix.T @ grad, rtol=0, atol=1e-12)


@NAMES
@settings(max_examples=8)
@given(unit_graphs(min_hidden=1), data_graphs(), seeds)
def test_gradients_are_those_of_finite_differences(name, graph, data, seed):
    problem = Problem(name, graph, data, seed)
    state = normal(problem.operator.num_sources, 2, seed=seed).requires_grad_()
    weight = problem.weight.requires_grad_()
    assert gradcheck(lambda w, h: bind(problem.operator, w)(h), (weight, state))


def test_second_derivatives_where_messages_are_scattered():
    graph = UnitGraph.complete(1, 2, 1)
    problem = Problem("scatter", graph, (torch.tensor([[0, 1, 1], [1, 0, 0]]), 3), 0)
    state = normal(problem.operator.num_sources, 2).requires_grad_()
    weight = problem.weight.requires_grad_()
    assert gradgradcheck(lambda w, h: bind(problem.operator, w)(h), (weight, state))


def unrolled(problem, f, weight, injected, steps):
    """By the matrix, as the definition says it."""
    matrix = problem.matrix(weight)
    state = torch.zeros_like(injected)
    for _ in range(steps):
        state = f(matrix @ state + injected)
    return state


def recurrence_of(problem, activation, weight, injected):
    update = Update(problem.operator, ACTIVATIONS[activation], problem.operator.num_targets)
    return Recurrence(update, weight, injected)


@NAMES
@pytest.mark.parametrize("trains_data", [False, True])
@settings(max_examples=20)
@given(
    graph=unit_graphs(min_hidden=1),
    data=data_graphs(),
    batch=st.integers(0, 2),
    activation=st.sampled_from(smooth_activations),
    solver=st.builds(Unrolled, st.integers(1, 5), checkpoint=st.booleans()),
    seed=seeds,
)
def test_unrolled_updates_and_their_gradients(
    name, trains_data, graph, data, batch, activation, solver, seed
):
    problem = Problem(name, graph, data, seed, is_square=True, trains_data=trains_data)
    weight = (0.5 * problem.weight).requires_grad_()
    injected = normal(problem.operator.num_targets, batch, seed=seed).requires_grad_()
    states = solver.solve(recurrence_of(problem, activation, weight, injected)).states
    expected = unrolled(problem, FUNCTIONS[activation], weight, injected, solver.steps)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-10)
    toward = normal(*states.shape, seed=seed + 1)
    found = torch.autograd.grad((states * toward).sum(), (weight, injected), materialize_grads=True)
    right = torch.autograd.grad(
        (expected * toward).sum(), (weight, injected), materialize_grads=True
    )
    torch.testing.assert_close(found[1], right[1], rtol=1e-9, atol=1e-9)
    # Weights of the data have a gradient where they are trained, and scattered messages always.
    num_data = data[0].size(1)
    kept = slice(None) if trains_data or name == "scatter" else slice(len(weight) - num_data)
    torch.testing.assert_close(found[0][kept], right[0][kept], rtol=1e-9, atol=1e-9)


@NAMES
@settings(max_examples=8)
@given(unit_graphs(min_hidden=1), data_graphs(), st.integers(1, 2), seeds)
def test_an_equilibrium_and_its_gradients(name, graph, data, batch, seed):
    problem = Problem(name, graph, data, seed, is_square=True, trains_data=True)
    with torch.no_grad():
        norm = torch.linalg.matrix_norm(problem.matrix(problem.weight), 2)
        count = 2 * problem.edges.num_edges
        problem.weight[:count] *= 0.7 / max(1.0, float(norm))
    weight = problem.weight.requires_grad_()
    injected = normal(problem.operator.num_targets, batch, seed=seed).requires_grad_()
    solver = Equilibrium(tol=1e-13, throw=True)
    states = solver.solve(recurrence_of(problem, "tanh", weight, injected)).states
    expected = unrolled(problem, torch.tanh, weight, injected, 120)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-10)
    found = torch.autograd.grad(states.square().sum(), (weight, injected), materialize_grads=True)
    right = torch.autograd.grad(expected.square().sum(), (weight, injected), materialize_grads=True)
    torch.testing.assert_close(found, right, rtol=1e-8, atol=1e-8)
