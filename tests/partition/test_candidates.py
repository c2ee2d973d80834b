import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, partition_units
from pyg_modules.partition import Units, agreement, module_sizes
from pyg_modules.partition.admissible.admissible import DeadModulesError
from pyg_modules.partition.candidates import candidates
from tests.strategies import generator


def new_layer(seed=0):
    layer = SynchronousGraph(UnitGraph.complete(3, 24, 2))
    layer.reset_parameters(generator(seed))
    return layer


def test_they_are_several_partitions_each_once():
    units = Units(new_layer())
    found = candidates(units, 3, tolerance=0.0, seed=0)
    assert 2 <= len(found) <= 6
    for number, labels in enumerate(found):
        assert module_sizes(labels) == [8, 8, 8]
        assert all(agreement(labels, other)["ari"] < 0.999 for other in found[:number])


def test_what_partition_units_finds_is_among_them():
    layer = new_layer()
    for affinity in ("abs", "square"):
        for method in ("refine", "spectral"):
            expected = partition_units(
                layer, 3, method=method, affinity=affinity, tolerance=0.1, seed=2
            )
            found = candidates(Units(layer), 3, tolerance=0.1, seed=2)
            assert max(agreement(expected, labels)["ari"] for labels in found) >= 0.999


def test_known_ones_come_first_as_they_are():
    known = torch.full((29,), -1)
    known[3:-2] = torch.arange(24) % 3
    found = candidates(Units(new_layer()), 3, tolerance=0.0, seed=0, known=[known, known])
    assert torch.equal(found[0], known)
    assert len(found) <= 6


def test_modules_that_everything_finds_are_the_only_candidate():
    layer = new_layer()
    source, target = (layer.graph.edge_index - 3) % 3
    with torch.no_grad():
        layer.weight.mul_((source == target).float())
    (found,) = candidates(Units(layer), 3, tolerance=0.0, seed=0)
    assert agreement(found[3:-2], torch.arange(24) % 3)["ari"] == 1.0


def test_a_search_that_finds_no_living_modules_leaves_it_to_the_others(monkeypatch):
    units, asked = Units(new_layer()), []

    def found_by(ways):
        def find(units, num_modules, method="refine", **settings):
            asked.append(method)
            if method not in ways:
                raise DeadModulesError(f"{method} found none")
            return partition_units(units.layer, num_modules, method=method, seed=settings["seed"])

        return find

    monkeypatch.setattr("pyg_modules.partition.candidates.find_labels", found_by(["spectral"]))
    (labels,) = candidates(units, 3, tolerance=0.0, seed=0)
    expected = partition_units(units.layer, 3, method="spectral")
    assert agreement(labels, expected)["ari"] == 1
    assert set(asked) == {"refine", "spectral"}
    monkeypatch.setattr("pyg_modules.partition.candidates.find_labels", found_by([]))
    with pytest.raises(DeadModulesError, match="found none"):
        candidates(units, 3, tolerance=0.0, seed=0)


def test_known_modules_that_nothing_improves_are_a_candidate():
    """Of a layered graph with levels of three there are no four living modules to be found."""
    layer = SynchronousGraph(UnitGraph.layered([4, 3, 3, 2]))
    known = torch.tensor([-1] * 4 + [0, 1, 2] + [0, 1, 2] + [-1] * 2)
    found = candidates(Units(layer), 3, tolerance=0.0, seed=0, known=[known])
    assert torch.equal(found[0], known)
