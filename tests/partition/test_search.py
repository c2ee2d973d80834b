import itertools

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_modules.partition import normalized_cut
from pyg_modules.partition.affinity import affinity_matrix
from pyg_modules.partition.refine import refine, refine_from_many, repair
from pyg_modules.partition.search import PartitionSearch
from pyg_modules.partition.sizing import SizeBounds
from tests.strategies import generator, seeds


def random_graph(num_units, seed, density=0.5):
    """Directed, signed, with self-loops; the last unit is isolated."""
    rand = generator(seed)
    edges = torch.rand(num_units, num_units, generator=rand) < density
    edges[-1] = edges[:, -1] = False
    edge_index = edges.nonzero().T
    return edge_index, torch.randn(edge_index.size(1), dtype=torch.float64, generator=rand)


def random_labels(num_units, num_modules, seed):
    order = torch.randperm(num_units, generator=generator(seed)).numpy()
    return order % num_modules


def dense_cut(edge_index, weight, labels, num_modules):
    matrix = numpy.zeros((len(labels), len(labels)))
    matrix[edge_index[1], edge_index[0]] = weight.abs()
    matrix = (matrix + matrix.T) / 2
    terms = []
    for module in range(num_modules):
        inside = labels == module
        volume = matrix[inside].sum()
        terms.append(1 - matrix[inside][:, inside].sum() / volume if volume > 0 else 1.0)
    return numpy.mean(terms)


@given(st.integers(6, 20), st.integers(2, 4), seeds)
@settings(deadline=None, max_examples=25)
def test_the_cut_that_is_kept_is_that_of_the_labels_after_every_phase(num_units, modules, seed):
    edge_index, weight = random_graph(num_units, seed)
    affinity = affinity_matrix(edge_index, weight, num_units)
    bounds = SizeBounds.of(num_units, modules, tolerance=0.2)
    search = PartitionSearch(affinity, numpy.arange(num_units) * modules // num_units, bounds)
    roam = lambda: search.roam(numpy.random.default_rng(seed))  # noqa: E731
    for phase in (lambda: None, search.repair, search.climb, roam):
        phase()
        labels = search.labels
        expected = dense_cut(edge_index, weight, labels, modules)
        assert search.normalized_cut == pytest.approx(expected, abs=1e-10)
        official = normalized_cut(edge_index, weight, torch.from_numpy(labels))
        assert search.normalized_cut == pytest.approx(official, abs=1e-10)
    sizes = numpy.bincount(labels, minlength=modules)
    assert (sizes >= bounds.smallest).all()
    assert (sizes <= bounds.largest).all()


@given(st.integers(6, 20), st.integers(2, 4), seeds)
@settings(deadline=None, max_examples=25)
def test_neither_climbing_nor_roaming_ends_with_a_larger_cut(num_units, num_modules, seed):
    edge_index, weight = random_graph(num_units, seed)
    affinity = affinity_matrix(edge_index, weight, num_units)
    bounds = SizeBounds.of(num_units, num_modules)
    start = random_labels(num_units, num_modules, seed)
    search = PartitionSearch(affinity, start, bounds)
    cuts = [search.normalized_cut]
    search.climb()
    cuts.append(search.normalized_cut)
    search.roam(numpy.random.default_rng(seed))
    cuts.append(search.normalized_cut)
    assert cuts[1] <= cuts[0] + 1e-12
    assert cuts[2] <= cuts[1] + 1e-12


@given(st.integers(2, 4), seeds)
@settings(deadline=None, max_examples=25)
def test_repair_brings_any_sizes_within_their_bounds(num_modules, seed):
    num_units = 13
    edge_index, weight = random_graph(num_units, seed)
    bounds = SizeBounds.of(num_units, num_modules)
    affinity = affinity_matrix(edge_index, weight, num_units)
    everything_in_one = numpy.zeros(num_units, dtype=numpy.int64)
    sizes = numpy.bincount(repair(affinity, everything_in_one, bounds).labels)
    assert (sizes >= bounds.smallest).all()
    assert (sizes <= bounds.largest).all()


def test_repair_moves_the_unit_that_costs_least():
    # Unit 3 hangs on its module by a thread; units 0, 1, 2 hold together.
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 0, 2, 5]])
    affinity = affinity_matrix(edge_index, torch.tensor([5.0, -5.0, 5.0, 0.1, 3.0]), 6)
    start = numpy.array([0, 0, 0, 0, 1, 1])
    assert repair(affinity, start, SizeBounds.of(6, 2)).labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("num_units", "num_modules"), [(8, 2), (7, 2), (6, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_balanced_partition_of_a_small_graph_is_better(num_units, num_modules, seed):
    edge_index, weight = random_graph(num_units, seed, density=0.6)
    bounds = SizeBounds.of(num_units, num_modules)
    affinity = affinity_matrix(edge_index, weight, num_units)
    best = min(
        dense_cut(edge_index, weight, numpy.array(labels), num_modules)
        for labels in itertools.product(range(num_modules), repeat=num_units)
        if (numpy.bincount(labels, minlength=num_modules) >= bounds.smallest).all()
        and (numpy.bincount(labels, minlength=num_modules) <= bounds.largest).all()
    )
    found = refine_from_many(affinity, bounds, seed=0)
    assert found.normalized_cut == pytest.approx(best, abs=1e-10)


def test_the_same_seed_gives_the_same_labels():
    affinity = affinity_matrix(*random_graph(60, seed=1), 60)
    bounds, start = SizeBounds.of(60, 4), random_labels(60, 4, seed=2)
    first, second = (refine(affinity, start, bounds, seed=3).labels for _ in range(2))
    assert numpy.array_equal(first, second)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_the_weights_does_not_matter(scale):
    edge_index, weight = random_graph(30, seed=1)
    bounds, start = SizeBounds.of(30, 3), random_labels(30, 3, seed=2)
    labels = [
        refine(affinity_matrix(edge_index, factor * weight, 30), start, bounds, seed=0).labels
        for factor in (1.0, scale)
    ]
    assert numpy.array_equal(*labels)
