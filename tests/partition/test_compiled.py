"""Losses and regularizers under torch.compile, without a graph break."""

import copy
import pickle
import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from pyg_modules import (
    PartitionRegularizer,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    prune_cross_edges,
)
from pyg_modules.partition import (
    balance_loss,
    cost_balance_loss,
    ncut_loss,
    sharpness_loss,
)
from tests.strategies import generator, normal

LABELS = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)


@pytest.fixture(autouse=True)
def reset():
    yield
    torch.compiler.reset()


def new_layer(graph=None, dtype=torch.float64):
    graph = graph or UnitGraph.complete(3, 8, 2)
    layer = SynchronousGraph(graph, Unrolled(2), "tanh", dtype=dtype)
    layer.reset_parameters(generator(0))
    return layer


def new_regularizer(layer, **settings):
    return PartitionRegularizer(layer, 2, generator=generator(1), **settings)


def compiled(function, backend="aot_eager", **settings):
    return torch.compile(function, backend=backend, fullgraph=True, **settings)


def assert_same(function, of_compiler, inputs, parameters):
    found, expected = of_compiler(*inputs), function(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters)
    )


@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@pytest.mark.parametrize("kind", ["plain", "single", "pruned", "parametrized", "copied", "sparse"])
def test_a_loss_with_its_regularizer_compiles_as_one_graph(kind, scope):
    sparse = UnitGraph.erdos_renyi(3, 30, 2, 0.05) if kind == "sparse" else None
    layer = new_layer(sparse, torch.float32 if kind == "single" else torch.float64)
    if kind == "pruned":
        prune_cross_edges(layer, LABELS)
    if kind == "parametrized":
        torch.nn.utils.parametrizations.weight_norm(layer, dim=None)
    regularizer = new_regularizer(layer, scope=scope, cost_balance=0.5, sharpness=0.1)
    if kind == "copied":
        regularizer, layer = copy.deepcopy((regularizer, layer))

    def loss(x):
        return layer(x).square().mean() + regularizer()

    parameters = [*layer.parameters(), *regularizer.parameters()]
    x = normal(4, 3).to(layer.dtype)
    assert_same(loss, compiled(loss), (x,), parameters)
    found, expected = compiled(regularizer.losses, "eager")(), regularizer.losses()
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected)


def test_a_strength_that_rises_is_compiled_again_once_alone():
    layer = new_layer()
    regularizer = new_regularizer(layer)

    def loss(x):
        return layer(x).square().mean() + regularizer()

    counter = CompileCounter()
    of_compiler = compiled(loss, counter)
    x = normal(4, 3)
    for strength in range(12):
        regularizer.strength = strength / 11
        assert_same(loss, of_compiler, (x,), [layer.weight])
    # Without terms, with one strength, and with any.
    assert counter.frame_count <= 3


@pytest.mark.parametrize("capacities", [None, [3, 5]])
def test_regularizers_of_other_sizes_share_a_program(capacities):
    counter = CompileCounter()
    of_compiler = compiled(sharpness_loss, counter, dynamic=True)
    for num_units in (8, 9, 10):
        assignment = normal(num_units, 2).softmax(dim=1)
        torch.testing.assert_close(of_compiler(assignment), sharpness_loss(assignment))
    assert counter.frame_count == 1
    regularizer = new_regularizer(new_layer(), capacities=capacities)
    torch.testing.assert_close(compiled(regularizer, dynamic=True)(), regularizer())


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")  # At an import of torch's own.
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler of C++")
def test_inductor_computes_the_same():
    layer = new_layer()
    regularizer = new_regularizer(layer)
    edge_index = layer.graph.edge_index
    logits = normal(13, 2).requires_grad_()

    def loss(x):
        of_list = ncut_loss(edge_index, layer.weight, logits.softmax(dim=1))
        return layer(x).square().mean() + regularizer() + of_list

    parameters = [*layer.parameters(), *regularizer.parameters(), logits]
    assert_same(loss, compiled(loss, "inductor"), (normal(4, 3),), parameters)


@pytest.mark.parametrize(
    ("affinity", "ids", "dynamic"), [("abs", torch.long, None), ("square", torch.int32, True)]
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_losses_of_edge_lists_compile_as_one_graph(is_cut, affinity, ids, dynamic):
    layer = new_layer()
    layer = cut(layer, LABELS) if is_cut else layer
    edge_index, logits = layer.graph.edge_index.to(ids), normal(13, 2).requires_grad_()

    def loss(edge_index, weight, logits):
        assignment = logits.softmax(dim=1)
        return (
            ncut_loss(edge_index, weight, assignment, affinity=affinity)
            + 2 * cost_balance_loss(edge_index, assignment)
            + 3 * balance_loss(assignment, capacities=[6, 7])
            + 4 * sharpness_loss(assignment)
        )

    inputs = edge_index, layer.weight, logits
    assert_same(loss, compiled(loss, dynamic=dynamic), inputs, inputs[1:])


def test_a_module_without_edges_and_a_graph_without_any_compile_too():
    assignment = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for edge_index in (torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 0, dtype=torch.long)):
        weight = torch.ones(edge_index.size(1), requires_grad=True)
        inputs = edge_index, weight, assignment
        torch.testing.assert_close(compiled(ncut_loss)(*inputs), ncut_loss(*inputs))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 1], [1, 3]], r"unit ids in \[0, 3\)"),
        ([[0, -1], [1, 2]], r"unit ids in \[0, 3\)"),
        ([[0, 0], [1, 1]], "every edge once"),
    ],
)
def test_edges_that_are_no_graph_are_refused_when_the_program_runs(edges, message):
    assignment = torch.full((3, 2), 0.5)
    with pytest.raises(RuntimeError, match=message):
        compiled(ncut_loss)(torch.tensor(edges), torch.ones(2), assignment)


def test_what_comes_from_a_pickle_compiles_before_it_is_called():
    layer = new_layer()
    restored, regularizer = pickle.loads(pickle.dumps((layer, new_regularizer(layer))))
    assert restored.graph is not layer.graph
    assert_same(regularizer, compiled(regularizer), (), [regularizer.logits, restored.weight])


def test_what_was_moved_compiles_before_it_is_called():
    layer = new_layer()
    model = torch.nn.ModuleList([layer, new_regularizer(layer)]).to("meta")
    assert compiled(model[1], "eager")().is_meta


def test_a_compiled_sum_of_no_terms_adds_nothing():
    layer = new_layer()
    regularizer = new_regularizer(layer)
    regularizer.strength = 0.0
    loss = layer(normal(2, 3)).sum() + compiled(regularizer)()
    loss.backward()
    assert regularizer.logits.grad is None
    assert layer.weight.grad is not None
    regularizer().backward()
