import warnings

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn.utils import prune

from pyg_modules import (
    PartitionRegularizer,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules.partition import Units
from pyg_modules.partition.labels import stays_independent
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.train import seeded
from tests.strategies import generator, layers_with_labels

LEVELS = [2, 4, 4, 2]


def by_depth():
    """A layered graph cut into its levels: the second sees no input, the first no output."""
    return torch.tensor([-1, -1, 0, 0, 0, 0, 1, 1, 1, 1, -1, -1])


def test_modules_that_would_compute_constants_are_refused():
    layer = SynchronousGraph(UnitGraph.layered(LEVELS), Unrolled(2))
    with pytest.raises(ValueError, match=r"got none in the modules \[0, 1\], which have \[4, 4\]"):
        cut(layer, by_depth())


def test_a_module_without_an_output_of_its_own_is_refused():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1))
    with pytest.raises(
        ValueError, match=r"that 6 updates can walk \(got none in the modules \[1\]"
    ):
        cut(layer, torch.tensor([0, 1, 0, 1, 0, 1, 0]))


def test_paths_that_are_too_long_for_the_updates_are_none():
    # Module 1 has the detour 0 -> 2 -> 3 -> 4 only; module 0 goes straight.
    edges = torch.tensor([[0, 1, 0, 2, 3, 1], [1, 4, 2, 3, 4, 3]])
    graph, labels = UnitGraph(edges, 5, 1, 1), torch.tensor([-1, 0, 1, 1, -1])
    assert Liveliness.of(graph, labels, 2).num_dead == 0
    assert Liveliness.of(graph, labels, 1).dead_modules(labels) == []  # They were dead before.
    longer = UnitGraph(torch.tensor([[0, 1, 1, 0, 2, 3], [1, 4, 3, 2, 3, 4]]), 5, 1, 1)
    assert Liveliness.of(longer, labels, 2).num_dead == 0
    assert cut(SynchronousGraph(longer, Unrolled(2)), labels).graph.num_edges == 5


def test_units_that_a_cut_puts_to_rest_are_counted():
    # Unit 2 hears from unit 1 alone, unit 3 from the input.
    edges = torch.tensor([[0, 0, 1, 1, 2, 3], [1, 3, 2, 4, 4, 4]])
    layer = SynchronousGraph(UnitGraph(edges, 5, 1, 1))
    with pytest.warns(UserWarning, match="^1 of 4 units take no part any more") as caught:
        cut(layer, torch.tensor([-1, 0, 1, 1, -1]))
    assert caught[0].filename == __file__


def test_what_was_dead_before_is_no_fault_of_the_cut():
    layer = SynchronousGraph(UnitGraph(torch.tensor([[0, 1], [1, 3]]), 4, 1, 1))
    assert cut(layer, torch.tensor([-1, 0, 1, -1])).graph.num_edges == 2


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(data=st.data())
def test_all_units_that_live_have_a_gradient(scope, data):
    """Of no unit that counts as dead do the outputs depend, on generic weights."""
    layer, labels = data.draw(layers_with_labels(scope))
    assume(layer.graph.num_inputs > 0)
    modular = cut(layer, labels)
    alive = Liveliness.of(modular.graph, labels, layer.solver.num_updates).after
    x = torch.randn(3, layer.graph.num_inputs, dtype=torch.float64)
    weight = modular.edge_weight().detach().requires_grad_()
    source, target = modular.graph.edge_index
    state = torch.zeros(3, layer.graph.num_units, dtype=torch.float64)
    state[:, : layer.graph.num_inputs] = x
    for _ in range(layer.solver.num_updates + 1):
        state = torch.zeros_like(state).index_add(1, target, state[:, source] * weight)
        state[:, : layer.graph.num_inputs] = x
    out = state[:, layer.graph.outputs.start :].sum()
    (gradient,) = torch.autograd.grad(out, weight, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(weight)
    hidden = range(layer.graph.hidden.start, layer.graph.hidden.stop)
    for unit in hidden:
        moves = bool((gradient[target == unit] != 0).any())
        assert moves == bool(alive[unit])


def pruned(layer, amount, seed):
    """The layer with as large a share of its weights pruned at random, as PyTorch does it."""
    with seeded(seed):
        prune.random_unstructured(layer, "weight", amount)
    return layer


def test_an_edge_that_was_pruned_carries_nothing():
    graph = UnitGraph(torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]]), 4, 1, 1)
    layer, labels = SynchronousGraph(graph, Unrolled(1)), torch.tensor([-1, 0, 1, -1])
    prune.custom_from_mask(layer, "weight", torch.tensor([1, 1, 1, 0]))
    assert cut(layer, labels).graph.num_edges == 3  # Module 1 was dead before.
    wider = UnitGraph(torch.tensor([[0, 0, 1, 2, 1, 2], [1, 2, 2, 1, 3, 3]]), 4, 1, 1)
    layer = SynchronousGraph(wider, Unrolled(2))
    prune.custom_from_mask(layer, "weight", torch.tensor([1, 1, 1, 1, 1, 0]))
    with pytest.raises(ValueError, match=r"got none in the modules \[1\]"):
        cut(layer, labels)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
def test_modules_of_a_pruned_layer_compute_something(scope, seed):
    with seeded(seed):
        layer = SynchronousGraph(UnitGraph.complete(8, 24, 4), Unrolled(3)).double()
    labels = partition_units(pruned(layer, 0.85, seed), 2, scope=scope, tolerance=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of single units.
        modular = cut(layer, labels)
    torch.nn.init.zeros_(modular.bias)  # What no input reaches is 0.
    x = torch.randn(5, 8, dtype=torch.float64, generator=generator(seed))
    modular(x).sum().backward()
    hears_and_is_heard = (modular.weight.grad != 0) & (modular.weight != 0)
    owner = labels[modular.graph.edge_index[1]]
    assert set(owner[hears_and_is_heard].tolist()) >= {0, 1}


def test_what_was_pruned_stays_pruned_after_a_cut():
    with seeded(0):
        layer = SynchronousGraph(UnitGraph.complete(8, 24, 4), Unrolled(3))
    prune.l1_unstructured(layer, "weight", amount=0.6)
    kept = layer.weight_mask.bool()
    labels = partition_units(layer, 2, tolerance=0.2)
    modular = cut(layer, labels)
    assert torch.equal(layer.kept_edges, kept)
    edges = set(map(tuple, layer.graph.edge_index[:, kept].T.tolist()))
    assert {tuple(edge) for edge in modular.graph.edge_index.T.tolist()} <= edges
    assert bool((modular.weight != 0).all())
    x = torch.randn(5, 8, generator=generator(0))
    independent = stays_independent(layer.graph, labels) & kept
    with torch.no_grad():
        layer.weight_orig[~independent] = 0
    torch.testing.assert_close(modular(x), layer(x))


def test_an_edge_of_images_is_pruned_when_its_whole_kernel_is():
    layer = SynchronousConv2d(UnitGraph.complete(2, 4, 1), generator=generator(0))
    mask = torch.ones_like(layer.weight)
    mask[0], mask[1, 0, 0] = 0, 0
    prune.custom_from_mask(layer, "weight", mask)
    assert (~layer.kept_edges).nonzero().flatten().tolist() == [0]


def two_tasks():
    """A layer whose second output has weights of 0, and modules with an output each."""
    with seeded(0):
        layer = SynchronousGraph(UnitGraph.complete(4, 8, 2), Unrolled(2))
    with torch.no_grad():
        layer.weight[layer.graph.edge_index[1] == 13] = 0
    return layer, torch.tensor([0, 0, 1, 1] + [0] * 4 + [1] * 4 + [0, 1])


def test_a_module_is_not_refused_for_weights_that_are_0_and_may_be_trained():
    layer, labels = two_tasks()
    with pytest.warns(UserWarning, match=r"modules \[1\] compute constants until weights that"):
        modular = cut(layer, labels)
    found = partition_units(layer, 2, scope="all")
    assert set(found.tolist()) == {0, 1}
    modular(torch.randn(3, 4, generator=generator(0))).sum().backward()
    assert modular.weight.grad[modular.graph.edge_index[1] == 13].any()


@pytest.mark.parametrize("num_modules", [2, "auto"])
def test_a_layer_of_which_too_little_is_left_is_refused_when_a_regularizer_is_made(num_modules):
    layer = SynchronousGraph(UnitGraph.complete(4, 8, 1))
    source, target = layer.graph.edge_index
    mask = ((source == 4) | (target == 4)).float()
    prune.custom_from_mask(layer, "weight", mask)
    with pytest.raises(ValueError, match="Expected a path from an input to an output"):
        PartitionRegularizer(layer, num_modules)
    assert Units(layer).num_paths(5) == 1
