import itertools

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyg_modules.partition import Units, normalized_cut
from pyg_modules.partition.search.partition_search import PartitionSearch
from pyg_modules.partition.search.refine import refine, refined_labels, repair
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import EdgeList
from tests.strategies import generator, seeds

with_fixture = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def random_graph(num_units, seed, density=0.5):
    """Directed, signed, with self-loops; the last unit is isolated."""
    rand = generator(seed)
    edges = torch.rand(num_units, num_units, generator=rand) < density
    edges[-1] = edges[:, -1] = False
    edge_index = edges.nonzero().T
    return edge_index, torch.randn(edge_index.size(1), dtype=torch.float64, generator=rand)


def affinity_matrix(edge_index, weight, num_units):
    return Units(EdgeList.of(edge_index, weight, num_units)).affinity_matrix()


def random_labels(num_units, num_modules, seed):
    order = torch.randperm(num_units, generator=generator(seed)).numpy()
    return order % num_modules


def is_within(labels, bounds):
    num_classes, num_modules = bounds.smallest.shape
    cells = bounds.classes * num_modules + labels
    sizes = numpy.bincount(cells, minlength=num_classes * num_modules).reshape(num_classes, -1)
    return bool((bounds.smallest <= sizes).all() and (sizes <= bounds.largest).all())


def random_classes(num_units, num_classes, seed):
    drawn = torch.randint(num_classes, (num_units,), generator=generator(seed)).numpy()
    return numpy.unique(drawn, return_inverse=True)[1]


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


@given(st.integers(8, 20), st.integers(2, 4), st.sampled_from([0.0, 0.2]), st.integers(1, 3), seeds)
@with_fixture
@pytest.mark.usefixtures("kernels")
def test_the_cut_that_is_kept_is_that_of_the_labels_after_every_phase(
    num_units, num_modules, tolerance, num_classes, seed
):
    edge_index, weight = random_graph(num_units, seed)
    classes = random_classes(num_units, num_classes, seed)
    bounds = SizeBounds.of(num_units, num_modules, tolerance=tolerance, classes=classes)
    # A unit for every module but the first, which has the others: out of every bounds.
    start = numpy.maximum(0, numpy.arange(num_units) + num_modules - num_units)
    search = PartitionSearch(affinity_matrix(edge_index, weight, num_units), start, bounds)

    def check():
        expected = dense_cut(edge_index, weight, search.labels, num_modules)
        assert search.normalized_cut == pytest.approx(expected, abs=1e-10)
        official = normalized_cut(edge_index, weight, torch.from_numpy(search.labels))
        assert search.normalized_cut == pytest.approx(official, abs=1e-10)

    check()
    assert not is_within(search.labels, bounds)
    search.repair()
    check()
    assert is_within(search.labels, bounds)
    search.climb()
    check()
    assert is_within(search.labels, bounds)
    search.exchange()
    check()
    assert is_within(search.labels, bounds)
    search.roam(numpy.random.default_rng(seed), patience=4)
    check()
    assert is_within(search.labels, bounds)


@given(st.integers(6, 20), st.integers(2, 4), st.sampled_from([0.0, 0.3]), seeds)
@with_fixture
@pytest.mark.usefixtures("kernels")
def test_neither_moves_nor_exchanges_nor_roaming_end_with_a_larger_cut(
    num_units, num_modules, tolerance, seed
):
    edge_index, weight = random_graph(num_units, seed)
    affinity = affinity_matrix(edge_index, weight, num_units)
    bounds = SizeBounds.of(num_units, num_modules, tolerance=tolerance)
    start = random_labels(num_units, num_modules, seed)
    search = PartitionSearch(affinity, start, bounds)
    cuts = [search.normalized_cut]
    search.climb()
    cuts.append(search.normalized_cut)
    search.exchange()
    cuts.append(search.normalized_cut)
    search.roam(numpy.random.default_rng(seed), patience=4)
    cuts.append(search.normalized_cut)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(cuts))


@given(st.integers(2, 4), st.integers(1, 13), seeds)
@with_fixture
@pytest.mark.usefixtures("kernels")
def test_repair_brings_any_sizes_within_their_bounds(num_modules, num_classes, seed):
    num_units = 13
    edge_index, weight = random_graph(num_units, seed)
    classes = random_classes(num_units, num_classes, seed)
    bounds = SizeBounds.of(num_units, num_modules, classes=classes)
    affinity = affinity_matrix(edge_index, weight, num_units)
    everything_in_one = numpy.zeros(num_units, dtype=numpy.int64)
    assert is_within(repair(affinity, everything_in_one, bounds).labels, bounds)


@pytest.mark.usefixtures("kernels")
def test_repair_moves_the_unit_that_costs_least():
    # Unit 3 hangs on its module by a thread; units 0, 1, 2 hold together.
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 0, 2, 5]])
    affinity = affinity_matrix(edge_index, torch.tensor([5.0, -5.0, 5.0, 0.1, 3.0]), 6)
    start = numpy.array([0, 0, 0, 0, 1, 1])
    assert repair(affinity, start, SizeBounds.of(6, 2)).labels.tolist() == [0, 0, 0, 1, 1, 1]


def found_and_least_cut(num_units, num_modules, seed, capacities=None, classes=None):
    """The cut that the search ends at, and the least of all partitions within the bounds."""
    edge_index, weight = random_graph(num_units, seed, density=0.6)
    bounds = SizeBounds.of(num_units, num_modules, capacities, classes=classes)
    least = min(
        dense_cut(edge_index, weight, numpy.array(labels), num_modules)
        for labels in itertools.product(range(num_modules), repeat=num_units)
        if is_within(labels, bounds)
    )
    affinity = affinity_matrix(edge_index, weight, num_units)
    found = refined_labels(affinity, bounds, seed=0)
    return repair(affinity, found, bounds).normalized_cut, least


@pytest.mark.parametrize(("num_units", "num_modules"), [(8, 2), (7, 2), (6, 3)])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("kernels")
def test_no_other_balanced_partition_of_a_small_graph_is_better(num_units, num_modules, seed):
    found, least = found_and_least_cut(num_units, num_modules, seed)
    assert found == pytest.approx(least, abs=1e-10)


# A heuristic: of the graphs of seeds 0 to 199 it misses the least cut of one with sizes 3 and 5,
# and of five with sizes 1, 2 and 4. With equal sizes it misses one at most.
@pytest.mark.parametrize("capacities", [[3, 5], [1, 2, 4]])
@pytest.mark.parametrize("seed", range(5))
def test_the_least_cut_with_unequal_sizes_is_found_on_these_graphs(capacities, seed):
    found, least = found_and_least_cut(sum(capacities), len(capacities), seed, capacities)
    assert found == pytest.approx(least, abs=1e-10)


def test_the_same_seed_gives_the_same_labels():
    affinity = affinity_matrix(*random_graph(60, seed=1), 60)
    bounds, start = SizeBounds.of(60, 4), random_labels(60, 4, seed=2)
    first, second = (refine(affinity, start, bounds, seed=3).labels for _ in range(2))
    assert numpy.array_equal(first, second)
    first, second = (refined_labels(affinity, bounds, seed=3) for _ in range(2))
    assert numpy.array_equal(first, second)


@pytest.mark.usefixtures("kernels")
def test_roaming_gets_past_where_climbing_ends():
    # Two cliques of three, one unit of each in the module of the other. No single move keeps the
    # sizes, so climbing ends where it starts; roaming swaps the two.
    pairs = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    affinity = affinity_matrix(torch.tensor(pairs).T, torch.tensor([1.0, -1, 1, -1, 1, -1]), 6)
    search = PartitionSearch(affinity, numpy.array([0, 0, 1, 0, 1, 1]), SizeBounds.of(6, 2))
    search.climb()
    assert search.labels.tolist() == [0, 0, 1, 0, 1, 1]
    search.roam(numpy.random.default_rng(0), patience=4)
    assert search.labels.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    assert search.normalized_cut == pytest.approx(0, abs=1e-15)


def test_the_labels_at_the_start_are_not_changed():
    affinity = affinity_matrix(*random_graph(12, seed=1), 12)
    start = numpy.zeros(12, dtype=numpy.int64)
    assert refine(affinity, start, SizeBounds.of(12, 3), seed=0).labels.any()
    assert not start.any()


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_scale_of_the_weights_does_not_matter(scale):
    edge_index, weight = random_graph(30, seed=1)
    bounds, start = SizeBounds.of(30, 3), random_labels(30, 3, seed=2)
    labels = [
        refine(affinity_matrix(edge_index, factor * weight, 30), start, bounds, seed=0).labels
        for factor in (1.0, scale)
    ]
    assert numpy.array_equal(*labels)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("kernels")
def test_no_other_partition_that_is_balanced_within_classes_is_better(seed):
    classes = numpy.array([0, 1, 0, 1, 0, 1, 0, 1])
    found, least = found_and_least_cut(8, 2, seed, classes=classes)
    assert found == pytest.approx(least, abs=1e-10)


@given(st.integers(6, 20), st.integers(2, 4), seeds)
@with_fixture
def test_the_table_of_pulls_and_gains_is_that_of_the_labels_after_any_moves(
    kernels, num_units, num_modules, seed
):
    edge_index, weight = random_graph(num_units, seed)
    affinity = affinity_matrix(edge_index, weight, num_units)
    bounds = SizeBounds.of(num_units, num_modules, tolerance=1.0)
    search = PartitionSearch(affinity, random_labels(num_units, num_modules, seed), bounds)
    table, graph, modules = search._new_table(), search._graph, search._modules
    rand = numpy.random.default_rng(seed)
    for _ in range(30):
        unit, module = int(rand.integers(num_units)), int(rand.integers(num_modules))
        own = int(search.labels[unit])
        if own != module:
            pulls = table.pull[own, unit], table.pull[module, unit]
            kernels.move(unit, module, *pulls, graph, modules)
            kernels.shift_pulls(unit, own, module, graph, table)
            kernels.fill_table(own, graph, modules, table)
            kernels.fill_table(module, graph, modules, table)
    fresh = PartitionSearch(affinity, search.labels, bounds)
    numpy.testing.assert_allclose(table.pull, fresh._new_table().pull, atol=1e-12)
    numpy.testing.assert_allclose(table.joined, fresh._new_table().joined, atol=1e-12)
    numpy.testing.assert_allclose(table.left, fresh._new_table().left, atol=1e-12)
    for name in ("size", "volume", "association"):
        kept, expected = getattr(modules, name), getattr(fresh._modules, name)
        numpy.testing.assert_allclose(kept, expected, atol=1e-12)


@given(st.integers(6, 20), st.integers(2, 4), seeds)
@with_fixture
@pytest.mark.usefixtures("kernels")
def test_the_best_moves_are_those_of_a_dense_reference(num_units, num_modules, seed):
    edge_index, weight = random_graph(num_units, seed)
    affinity = affinity_matrix(edge_index, weight, num_units)
    labels = random_labels(num_units, num_modules, seed)
    search = PartitionSearch(affinity, labels, SizeBounds.of(num_units, num_modules))
    target, gain = search._best_moves(anywhere=True)
    before = num_modules * dense_cut(edge_index, weight, labels, num_modules)
    for unit in range(num_units):
        gains = numpy.full(num_modules, -numpy.inf)
        for module in set(range(num_modules)) - {labels[unit]}:
            moved = labels.copy()
            moved[unit] = module
            gains[module] = before - num_modules * dense_cut(edge_index, weight, moved, num_modules)
        assert gain[unit] == pytest.approx(gains.max(), abs=1e-10)
        assert gains[target[unit]] == pytest.approx(gains.max(), abs=1e-10)


@pytest.mark.usefixtures("kernels")
def test_units_of_different_classes_do_not_change_places():
    # As above, but the two units that would change places are of classes of their own.
    pairs = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    affinity = affinity_matrix(torch.tensor(pairs).T, torch.tensor([1.0, -1, 1, -1, 1, -1]), 6)
    start = numpy.array([0, 0, 1, 0, 1, 1])
    one_each = numpy.array([[1, 1], [1, 1], [1, 1]])
    bounds = SizeBounds(one_each, one_each, numpy.array([0, 1, 1, 2, 2, 0]))
    search = PartitionSearch(affinity, start, bounds)
    search.exchange()
    assert search.labels.tolist() == start.tolist()
    one_class = PartitionSearch(affinity, start, SizeBounds.of(6, 2))
    one_class.exchange()
    assert one_class.labels.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
