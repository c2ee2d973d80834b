import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_modules import Equilibrium, SynchronousConv, UnitGraph, Unrolled
from pyg_modules.ops.edge_set import EdgeSet
from tests.dense_conv import dense_adjacency, dense_matrices, dense_states, dense_step
from tests.strategies import backends, generator, normal, seeds, smooth_activations, unit_graphs

# Two triangles, one of them with a self-loop, an edge that is there twice, and a node alone.
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 3, 3, 1], [1, 2, 0, 4, 5, 3, 4, 3, 4]])
NUM_NODES = 7
SMALL = UnitGraph.complete(3, 5, 2)


def conv_of(graph=SMALL, seed=0, **kwargs):
    kwargs = {"activation": "tanh", "dtype": torch.float64, **kwargs}
    layer = SynchronousConv(graph, **kwargs)
    layer.reset_parameters(generator(seed))
    return layer


@st.composite
def situations(draw):
    graph = draw(unit_graphs(min_outputs=1))
    num_nodes, num_edges = draw(st.integers(1, 5)), draw(st.integers(0, 8))
    seed = draw(seeds)
    edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator(seed))
    weight = None
    if draw(st.booleans()):
        weight = torch.rand(edge_index.size(1), dtype=torch.float64, generator=generator(seed))
    mask = None
    if draw(st.booleans()):
        mask = torch.rand(graph.num_edges, generator=generator(seed)) < 0.5
    normalize = draw(st.sampled_from([True, False, "mean"]))
    layer = conv_of(
        graph,
        seed,
        neighbours=mask,
        solver=Unrolled(draw(st.integers(1, 4)), checkpoint=draw(st.booleans())),
        activation=draw(st.sampled_from(smooth_activations)),
        normalize=normalize,
        add_self_loops=draw(st.booleans()) if normalize else None,
        bias=draw(st.booleans()),
        backend=draw(st.sampled_from(["auto", *(name for name in backends if name != "block")])),
    )
    lead = draw(st.sampled_from([(), (2,), (0,)]))
    x = normal(*lead, num_nodes, graph.num_inputs, seed=seed)
    return layer, x, edge_index, weight


def adjacency_of(layer, edge_index, weight, num_nodes):
    chosen = layer.settings["normalize"], layer.settings["add_self_loops"]
    return dense_adjacency(edge_index, weight, num_nodes, *chosen)


@settings(max_examples=60)
@given(situations())
def test_states_steps_and_gradients_are_those_of_dense_matrices(situation):
    layer, x, edge_index, weight = situation
    x.requires_grad_()
    inputs = [x, layer.weight]
    if layer.bias is not None:
        inputs.append(layer.bias)
    if weight is not None:
        inputs.append(weight.requires_grad_())
    adjacency = adjacency_of(layer, edge_index, weight, x.size(-2))
    found = layer.states(x, edge_index, weight)
    expected = dense_states(layer, x, adjacency, layer.solver.steps)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    toward = normal(*found.shape, seed=1)
    gradients = [
        torch.autograd.grad((states * toward).sum(), inputs, materialize_grads=True)
        for states in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)
    states = normal(*found.shape, seed=2)
    torch.testing.assert_close(
        layer.step(states, edge_index, weight),
        dense_step(layer, states, adjacency),
        rtol=1e-10,
        atol=1e-10,
    )
    outputs = layer(x, edge_index, weight)
    assert torch.equal(outputs, found[..., layer.graph.outputs.start :])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("normalize", [True, "mean"])
def test_an_equilibrium_is_a_fixed_point_of_the_step_with_its_gradients(normalize, bias):
    solver = Equilibrium(tol=1e-13, contraction=0.9, throw=True)
    layer = conv_of(solver=solver, normalize=normalize, bias=bias)
    with torch.no_grad():
        layer.weight *= 3  # So that the contraction has something to do.
    x, weight = normal(NUM_NODES, 3), torch.rand(EDGES.size(1), dtype=torch.float64)
    solution = layer.solve(x, EDGES, weight)
    assert bool(solution.converged)
    assert solution.residual.shape == ()
    again = layer.step(solution.states, EDGES, weight)
    torch.testing.assert_close(again, solution.states, rtol=0, atol=1e-11)
    parameters = dict(layer.named_parameters())

    def outputs(x, weight, *values):
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(layer, named, (x, EDGES, weight))

    leaves = [value.detach().requires_grad_() for value in (x, weight, *parameters.values())]
    assert gradcheck(outputs, leaves, atol=1e-6)


@given(seeds)
@settings(max_examples=20)
def test_contraction_holds_on_every_directed_graph(seed):
    layer = conv_of(seed=seed, solver=Equilibrium(1e-12, contraction=0.8, memory=0, throw=True))
    with torch.no_grad():
        layer.weight *= 10
    edge_index = torch.randint(NUM_NODES, (2, 12), generator=generator(seed))
    own, looking = dense_matrices(layer, layer.scaled_weight().detach())
    hidden = slice(3, 8)
    norms = [torch.linalg.matrix_norm(m[hidden, hidden], 2) for m in (own, looking)]
    assert float(sum(norms)) == pytest.approx(0.8)
    solution = layer.solve(normal(NUM_NODES, 3, seed=seed), edge_index)
    # 1e-12 is reached when 0.8 ** steps is, up to the norms that both are measured in.
    assert int(solution.steps) <= 160


def test_a_state_is_read_relative_to_the_largest_of_its_node():
    layer = conv_of(normalize_states=True, solver=Unrolled(4))
    x = normal(NUM_NODES, 3)
    adjacency = adjacency_of(layer, EDGES, None, NUM_NODES)
    expected = dense_states(layer, x, adjacency, 4)
    torch.testing.assert_close(layer.states(x, EDGES), expected)
    # Nothing comes of nothing: states of 0 are read as 0.
    silent = conv_of(normalize_states=True, bias=False)
    inputs = torch.zeros(NUM_NODES, 3, dtype=torch.float64, requires_grad=True)
    outputs = silent(inputs, EDGES)
    assert torch.equal(outputs, torch.zeros_like(outputs))
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    assert bool(gradient.isfinite().all())


def test_units_that_carry_begin_with_what_their_neighbours_have():
    layer = conv_of(carry=True)
    plain = conv_of()
    source, target = SMALL.edge_index
    hidden = (source >= 3) & (target < 8)
    loops = hidden & (source == target)
    assert torch.equal(layer.weight[loops, 1], torch.full((5,), 0.9, dtype=torch.float64))
    torch.testing.assert_close(layer.weight[loops, 0], plain.weight[loops, 0] / 10)
    torch.testing.assert_close(layer.weight[hidden & ~loops], plain.weight[hidden & ~loops] / 10)
    assert torch.equal(layer.weight[~hidden], plain.weight[~hidden])


def test_units_that_cannot_carry_begin_as_they_would():
    layered = UnitGraph.layered([3, 4, 4, 2])
    assert torch.equal(conv_of(layered, carry=True).weight, conv_of(layered).weight)
    # Of the edges from units to themselves, only that of unit 3 looks at neighbours.
    looking = torch.tensor([[3], [3]])
    layer, plain = conv_of(neighbours=looking, carry=True), conv_of(neighbours=looking)
    source, target = SMALL.edge_index
    into = (source >= 3) & (target == 3)
    assert torch.equal(layer.weight[~into], plain.weight[~into])
    assert layer.weight[into & (source == 3), 1].item() == 0.9
    others = into & (source > 3)
    torch.testing.assert_close(layer.weight[others], plain.weight[others] / 10)
    drawn = SynchronousConv(SMALL, neighbours=looking, carry=True, generator=generator(4))
    layer = SynchronousConv(SMALL, neighbours=looking, carry=True)
    layer.reset_parameters(generator(4))
    assert torch.equal(layer.weight, drawn.weight)


def test_neighbours_are_a_mask_or_a_list_of_edges():
    edges = SMALL.edge_index[:, [4, 9, 4]]
    listed, masked = conv_of(neighbours=edges), conv_of(neighbours=torch.arange(50) < 1)
    assert listed.neighbours.nonzero().view(-1).tolist() == [4, 9]
    assert masked.neighbours.nonzero().view(-1).tolist() == [0]
    listed(normal(NUM_NODES, 3), EDGES).sum().backward()
    assert torch.equal(listed.weight.grad[~listed.neighbours, 1], torch.zeros(48).double())
    assert bool(copy.deepcopy(listed).neighbours.equal(listed.neighbours))


def test_what_was_built_of_a_graph_is_used_again_and_never_for_another(monkeypatch):
    layer = conv_of()
    built = []
    build = EdgeSet.between
    monkeypatch.setattr(
        EdgeSet, "between", lambda *args: built.append(args) or build(*args), raising=True
    )
    x, edges = normal(5, layer.graph.num_inputs), torch.tensor([[0, 1, 2], [1, 2, 4]])
    first = layer(x, edges)
    assert torch.equal(layer(x, edges.clone()), first)
    assert len(built) == 1
    edges[0, 0] = 3  # As others may do who know nothing of the layer.
    second = layer(x, edges)
    assert len(built) == 2
    torch.testing.assert_close(second, copy.deepcopy(layer)(x, edges))
    assert not torch.allclose(first, second)
    with torch.inference_mode():
        layer(x, edges[:, :2])
    layer(x, edges[:, :2]).sum().backward()  # What inference built can be trained with.
