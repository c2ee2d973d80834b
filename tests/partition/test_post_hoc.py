import sys

import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, partition_units
from pyg_modules.partition import METHODS, agreement, module_sizes
from tests.strategies import generator

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


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_planted_modules(method):
    need(method)
    layer, expected = planted_layer()
    labels = partition_units(layer, 3, method=method)
    assert agreement(labels, expected)["ari"] == 1.0
    assert torch.equal(labels == -1, expected == -1)
    assert module_sizes(labels) == [8, 8, 8]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_capacities(method):
    need(method)
    layer, expected = planted_layer(sizes=(4, 8, 12))
    labels = partition_units(layer, 3, method=method, capacities=[4, 8, 12])
    assert module_sizes(labels) == [4, 8, 12]
    if method == "refine":
        assert agreement(labels, expected)["ari"] == 1.0


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
        ({"scope": "inputs"}, ValueError, r"'hidden' or 'all' \(got 'inputs'\)"),
        ({"affinity": "cube"}, ValueError, r"'abs' or 'square' \(got 'cube'\)"),
        ({"tolerance": -1}, ValueError, r"tolerance >= 0 \(got -1\)"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
        (
            {"method": "spectral", "initial": planted_layer()[1]},
            ValueError,
            r"method 'refine' for initial labels \(got 'spectral'",
        ),
        ({"initial": shared_unit()}, ValueError, r"got 3 modules, and 1 of these units without"),
        ({"initial": planted_layer((12, 12))[1]}, ValueError, r"3 modules, .*got 2 modules"),
        ({"layer": torch.nn.Linear(2, 3)}, TypeError, r"SynchronousGraph \(got Linear\)"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        partition_units(**{"layer": planted_layer()[0], "num_modules": 3, **arguments})


def test_weights_without_structure_to_read_are_refused():
    layer = SynchronousGraph(UnitGraph.layered([3, 8, 2]))
    with pytest.raises(ValueError, match=r'scope=\'hidden\' partitions \(got none\). Use scope="a'):
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


def test_a_missing_pymetis_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetis", None)
    with pytest.raises(ImportError, match=r"pip install 'pyg-modules\[metis\]'.*method='refine'"):
        partition_units(planted_layer()[0], 3, method="metis")
