import copy
import importlib.util
import random
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, UnitGraph, cut, partition_units
from pyg_modules.partition import METHODS, agreement, module_sizes, normalized_cut
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import EdgeList
from tests.strategies import generator, layers, seeds

NUM_INPUTS, NUM_HIDDEN, NUM_OUTPUTS = 4, 24, 4
HIDDEN = slice(NUM_INPUTS, NUM_INPUTS + NUM_HIDDEN)


def planted_layer(sizes=(8, 8, 8), seed=0):
    """Modules of hidden units in mixed order, weights of both signs, weak between modules."""
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, NUM_OUTPUTS))
    rand = generator(seed)
    module = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    labels = torch.full((layer.graph.num_units,), -1)
    labels[HIDDEN] = module[torch.randperm(NUM_HIDDEN, generator=rand)]
    source, target = labels[layer.graph.edge_index]
    sign = torch.randint(2, layer.weight.shape, generator=rand) * 2 - 1
    magnitude = 0.5 + torch.rand(layer.weight.shape, generator=rand)
    with torch.no_grad():
        layer.weight.copy_(sign * magnitude * torch.where(source == target, 1.0, 0.05))
    return layer, labels


def need(method):
    if method == "metis":
        pytest.importorskip("pymetis")


def available_methods():
    has_metis = importlib.util.find_spec("pymetis") is not None
    return [method for method in METHODS if method != "metis" or has_metis]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_planted_modules(method, seed):
    need(method)
    layer, expected = planted_layer(seed=seed)
    labels = partition_units(layer, 3, method=method)
    assert agreement(labels, expected)["ari"] == 1.0
    assert torch.equal(labels == -1, expected == -1)
    assert module_sizes(labels) == [8, 8, 8]


def test_of_a_layer_that_is_cut_its_own_modules_are_found_and_whole_ones_put_together():
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, NUM_OUTPUTS))
    labels = torch.full((layer.graph.num_units,), -1)
    labels[HIDDEN] = torch.arange(NUM_HIDDEN) % 4
    modular = cut(layer, labels)
    assert agreement(partition_units(modular, 4), labels)["ari"] == 1.0
    halves = partition_units(modular, 2)
    pairs = torch.stack([labels[HIDDEN], halves[HIDDEN]], dim=1).unique(dim=0)
    assert pairs[:, 0].tolist() == [0, 1, 2, 3]
    assert pairs[:, 1].bincount().tolist() == [2, 2]


@pytest.mark.parametrize("capacities", [[4, 8, 12], [12, 8, 4], [3, 6, 15]])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_capacities(method, capacities):
    need(method)
    layer, _ = planted_layer(sizes=capacities)
    labels = partition_units(layer, 3, method=method, capacities=capacities)
    assert module_sizes(labels) == capacities


@pytest.mark.parametrize(
    ("method", "capacities"),
    [
        ("refine", [4, 8, 12]),
        ("refine", [3, 6, 15]),
        ("refine", [12, 8, 4]),
        ("spectral", [4, 8, 12]),
        ("spectral", [3, 6, 15]),
        ("spectral", [12, 8, 4]),
    ],
)
def test_planted_modules_of_unequal_sizes_are_found(method, capacities):
    for seed in range(4):
        layer, expected = planted_layer(sizes=capacities, seed=seed)
        labels = partition_units(layer, 3, method=method, capacities=capacities)
        # Sizes differ, so the modules have the numbers of their capacities.
        assert torch.equal(labels, expected)


def test_a_tolerance_lets_sizes_differ():
    layer, expected = planted_layer(sizes=(7, 8, 9))
    assert module_sizes(partition_units(layer, 3)) == [8, 8, 8]
    labels = partition_units(layer, 3, tolerance=0.15)
    assert agreement(labels, expected)["ari"] == 1.0


def test_all_units_are_partitioned_in_the_scope_all():
    # Two chains: input -> hidden <-> hidden -> output, and one weak edge between them.
    edges = [(0, 2), (2, 3), (3, 2), (3, 6), (1, 4), (4, 5), (5, 4), (5, 7), (3, 4)]
    graph = UnitGraph(torch.tensor(edges).T, 8, 2, 2)
    layer = SynchronousGraph(graph)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -2, 1, 1, -1, 1, 2, 1, 0.1]))
    labels = partition_units(layer, 2, scope="all")
    assert agreement(labels, torch.tensor([0, 1, 0, 0, 1, 1, 0, 1]))["ari"] == 1.0


@given(layers(min_hidden=3), st.floats(0, 1), seeds)
@settings(max_examples=10)
def test_every_method_keeps_the_bounds_on_any_graph(layer, tolerance, seed):
    graph = layer.graph
    source, target = graph.edge_index
    assume(bool((source != target).any()))
    # Without inputs and outputs, of which every module would need one.
    edges = EdgeList.of(graph.edge_index, layer.weight.detach(), graph.num_units)
    num_modules = 2 + seed % (graph.num_units - 1)
    bounds = SizeBounds.of(graph.num_units, num_modules, tolerance=tolerance)
    for method in available_methods():
        labels = partition_units(edges, num_modules, method=method, tolerance=tolerance)
        assert (labels >= 0).all()
        sizes = module_sizes(labels)
        assert (bounds.smallest <= sizes).all()
        assert (sizes <= bounds.largest).all()


@pytest.mark.parametrize("method", METHODS)
def test_as_many_modules_as_units_have_one_each(method):
    need(method)
    labels = partition_units(planted_layer()[0], NUM_HIDDEN, method=method)
    assert labels[HIDDEN].sort().values.tolist() == list(range(NUM_HIDDEN))


@given(layers(min_hidden=4), seeds)
@settings(max_examples=10)
def test_refining_is_no_worse_than_the_spectral_partition_it_starts_from(layer, seed):
    source, target = layer.graph.edge_index
    assume(bool((source != target).any()))
    weight, num_units = layer.weight.detach(), layer.graph.num_units
    edges = EdgeList.of(layer.graph.edge_index, weight, num_units)
    cuts = [
        normalized_cut(
            layer.graph.edge_index,
            weight,
            partition_units(edges, 2, method=method, seed=seed % 100),
        )
        for method in ("refine", "spectral")
    ]
    assert cuts[0] <= cuts[1] + 1e-9


def test_square_affinities_are_those_of_squared_weights():
    layer = SynchronousGraph(UnitGraph.complete(2, 20, 2), dtype=torch.float64)
    layer.reset_parameters(generator(1))
    squared = copy.deepcopy(layer)
    with torch.no_grad():
        squared.weight.copy_(-layer.weight.square())
    labels = partition_units(layer, 3, affinity="square")
    assert torch.equal(labels, partition_units(squared, 3))
    assert not torch.equal(labels, partition_units(layer, 3))


def test_the_layer_is_left_as_it_is():
    layer, _ = planted_layer()
    weight = layer.weight.detach().clone()
    labels = partition_units(layer, 3)
    assert torch.equal(layer.weight, weight)
    assert layer.weight.grad is None
    assert layer.labels is None
    assert labels.dtype == torch.int64


def test_initial_labels_of_other_sizes_are_brought_within_the_bounds():
    layer, expected = planted_layer()
    initial = expected.clone()
    moved = (expected == 0).nonzero().flatten()[:5]
    initial[moved] = 1  # Sizes 3, 13 and 8.
    before = initial.clone()
    assert torch.equal(partition_units(layer, 3, initial=initial), expected)
    assert torch.equal(initial, before)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_planted_modules_among_all_units(method):
    need(method)
    graph = UnitGraph.complete(6, 12, 6)
    # Inputs and outputs belong to modules as well.
    layer, expected = SynchronousGraph(graph), torch.arange(24) % 3
    source, target = expected[graph.edge_index]
    rand = generator(2)
    magnitude = 0.5 + torch.rand(graph.num_edges, generator=rand)
    sign = torch.randint(2, (graph.num_edges,), generator=rand) * 2 - 1
    with torch.no_grad():
        layer.weight.copy_(sign * magnitude * torch.where(source == target, 1.0, 0.02))
    labels = partition_units(layer, 3, method=method, scope="all")
    assert agreement(labels, expected)["ari"] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_the_global_random_state_is_left_as_it_is(method):
    need(method)
    layer, _ = planted_layer()
    before = torch.get_rng_state(), numpy.random.get_state()[1].tolist(), random.getstate()
    partition_units(layer, 3, method=method)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_weights_of_almost_nothing_raise_no_warning():
    graph = UnitGraph(torch.tensor([[1, 3, 4], [2, 6, 6]]), 8, 1, 1)
    layer = SynchronousGraph(graph)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 1e-20, -1.0]))
    assert module_sizes(partition_units(layer, 3, method="spectral")) == [2, 2, 2]


def test_initial_labels_are_improved():
    layer, expected = planted_layer()
    initial = expected.clone()
    a, b = (int((expected == module).nonzero()[0]) for module in (0, 1))
    initial[a], initial[b] = 1, 0
    # The modules keep their numbers: nothing but the two units moves.
    assert torch.equal(partition_units(layer, 3, initial=initial), expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_labels(method):
    need(method)
    layer = SynchronousGraph(UnitGraph.complete(2, 40, 2))
    layer.reset_parameters(generator(1))
    first, second = (partition_units(layer, 4, method=method, seed=5) for _ in range(2))
    assert torch.equal(first, second)


def test_a_layer_that_was_cut_apart_can_be_partitioned():
    layer, expected = planted_layer()
    source, target = expected[layer.graph.edge_index]
    with torch.no_grad():
        layer.weight.mul_(source == target)
    for method in ("refine", "spectral"):
        labels = partition_units(layer, 3, method=method)
        assert agreement(labels, expected)["ari"] == 1.0


def shared_unit():
    labels = planted_layer()[1]
    labels[NUM_INPUTS] = -1
    return labels


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_modules": 1}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ({"num_modules": 25}, ValueError, r"from 2 to 24, .*\(got 25\)"),
        ({"capacities": [8, 8, 9]}, ValueError, r"add up to 24.*\(got 25"),
        ({"capacities": [12, 12]}, ValueError, r"one capacity per module, 3 \(got 2"),
        ({"method": "magic"}, ValueError, r"'refine', 'spectral', 'metis' \(got 'magic'\)"),
        ({"scope": "outputs"}, ValueError, r"'inputs', 'all' \(got 'outputs'\)"),
        ({"affinity": "cube"}, ValueError, r"'abs', 'square' \(got 'cube'\)"),
        ({"tolerance": -1}, ValueError, r"tolerance in \[0, 1\] \(got -1\)"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
        (
            {"method": "spectral", "initial": planted_layer()[1]},
            ValueError,
            r"method 'refine' for initial labels \(got 'spectral'",
        ),
        (
            {"method": "metis", "initial": planted_layer()[1]},
            ValueError,
            r"method 'refine' for initial labels \(got 'metis'",
        ),
        ({"initial": shared_unit()}, ValueError, r"got 3 modules, and 1 of these units without"),
        ({"initial": planted_layer((12, 12))[1]}, ValueError, r"3 modules, .*got 2 modules"),
        ({"initial": planted_layer()[1][HIDDEN]}, ValueError, r"shape \[32\].*\(got \[24\]\)"),
        ({"initial": planted_layer()[1].float()}, TypeError, r"LongTensor \(got torch.float32\)"),
        ({"num_modules": 3.0}, TypeError, r"num_modules to be an int \(got float: 3.0\)"),
        ({"layer": torch.nn.Linear(2, 3)}, TypeError, r"SynchronousGraph \(got Linear\)"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        partition_units(**{"layer": planted_layer()[0], "num_modules": 3, **arguments})


def test_weights_without_structure_to_read_are_refused():
    layer = SynchronousGraph(UnitGraph.layered([3, 8, 2]))
    with pytest.raises(ValueError, match=r'scope=\'hidden\' partitions \(got none\). Use scope="i'):
        partition_units(layer, 2)
    layer, _ = planted_layer()
    with torch.no_grad():
        layer.weight.zero_()
    with pytest.raises(ValueError, match=r"got only zeros\). Train the layer first"):
        partition_units(layer, 3)
    with torch.no_grad():
        layer.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"finite weights \(got NaN or infinity\).*diverged"):
        partition_units(layer, 3)


def test_loops_alone_say_nothing_about_modules():
    loops = UnitGraph(torch.tensor([[1, 2], [1, 2]]), 4, 1, 1)
    with pytest.raises(ValueError, match=r"Expected edges between the units .*\(got none\)"):
        partition_units(SynchronousGraph(loops), 2)


def test_a_missing_pymetis_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetis", None)
    with pytest.raises(ImportError, match=r"pip install 'pyg-modules\[metis\]'.*method='refine'"):
        partition_units(planted_layer()[0], 3, method="metis")


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e300])
@pytest.mark.parametrize("method", ["refine", "spectral"])
def test_modules_do_not_depend_on_the_scale_of_the_weights(method, scale):
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2), dtype=torch.float64)
    layer.reset_parameters(generator(0))
    expected = partition_units(layer, 3, method=method)
    with torch.no_grad():
        layer.weight.mul_(scale)
    labels = partition_units(layer, 3, method=method)
    assert agreement(labels, expected)["ari"] == 1


def test_threads_leave_the_filters_of_warnings_as_they_were():
    layer, expected = planted_layer()
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: partition_units(layer, 3, seed=seed), range(12)))
    assert all(agreement(labels, expected)["ari"] == 1.0 for labels in found)
    assert warnings.filters == filters
