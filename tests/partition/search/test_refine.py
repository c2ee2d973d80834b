import itertools

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array
from threadpoolctl import threadpool_limits

from pyg_modules.partition.search import refine as module_of_refine
from pyg_modules.partition.search.metis import metis_labels
from pyg_modules.partition.search.refine import refine, refined_labels, repair
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.search.spectral_clustering import spectral_labels
from tests.strategies import seeds

with_fixture = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def within(labels, bounds):
    num_classes, num_modules = bounds.smallest.shape
    cells = bounds.classes * num_modules + labels
    sizes = numpy.bincount(cells, minlength=num_classes * num_modules).reshape(num_classes, -1)
    return bool((bounds.smallest <= sizes).all() and (sizes <= bounds.largest).all())


def affinity_of(kind, num_units, seed):
    """Graphs at which a search could hang, divide by zero or leave the bounds."""
    rand = numpy.random.default_rng(seed)
    dense = rand.random((num_units, num_units)) * (rand.random((num_units, num_units)) < 0.2)
    if kind == "nothing":
        dense[:] = 0
    elif kind == "equal":
        dense[:] = 1
    elif kind == "denormal":
        dense *= 1e-310
    elif kind == "enormous":
        dense *= 1e307
    elif kind == "wide":
        dense *= 10.0 ** rand.integers(-300, 300, dense.shape)
    elif kind == "unconnected":
        part = rand.integers(0, 5, num_units)
        dense *= part[:, None] == part
    elif kind == "isolated":
        dense[num_units // 3 :] = dense[:, num_units // 3 :] = 0
    elif kind == "loops":
        dense *= 0.01
        dense += numpy.diag(rand.random(num_units))
    elif kind == "hub":
        dense[:] = 0
        dense[0] = 1
    return csr_array(numpy.maximum(dense, dense.T))


KINDS = (
    *("nothing", "equal", "denormal", "enormous", "wide", "unconnected", "isolated", "loops"),
    *("hub", "plain"),
)


def classes_of(num_units, num_classes, seed):
    drawn = numpy.random.default_rng(seed).integers(0, num_classes, num_units)
    return numpy.unique(drawn, return_inverse=True)[1]


@given(
    st.sampled_from(KINDS),
    st.integers(4, 40),
    st.integers(2, 40),
    st.sampled_from([0.0, 0.3]),
    st.integers(1, 4),
    st.booleans(),
    seeds,
)
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@pytest.mark.usefixtures("kernels")
def test_any_graph_is_partitioned_within_the_bounds_of_classes(
    monkeypatch, kind, num_units, num_modules, tolerance, num_classes, is_large, seed
):
    affinity = affinity_of(kind, num_units, seed)
    classes = classes_of(num_units, num_classes, seed)
    bounds = SizeBounds.of(
        num_units, min(num_modules, num_units), tolerance=tolerance, classes=classes
    )
    # As if they were many units: levels, and cycles.
    monkeypatch.setattr(module_of_refine, "_SMALL", 10 if is_large else 1200)
    labels = refined_labels(affinity, bounds, seed=seed)
    search = repair(affinity, labels, bounds)
    assert within(search.labels, bounds)
    assert 0 <= search.normalized_cut <= 1 + 1e-9
    again = refine(affinity, labels, bounds, seed=seed)
    assert within(again.labels, bounds)
    assert again.normalized_cut <= search.normalized_cut + 1e-9


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("method", [spectral_labels, metis_labels])
def test_the_labels_of_other_methods_are_repaired_within_the_bounds_of_classes(method):
    if method is metis_labels:
        pytest.importorskip("pymetis")
    affinity = affinity_of("plain", 90, seed=1)
    # More modules than units of the last class.
    classes = numpy.repeat([0, 1, 2], [50, 36, 4])
    bounds = SizeBounds.of(90, 6, classes=classes)
    labels = repair(affinity, method(affinity, bounds, seed=0), bounds).labels
    assert within(labels, bounds)
    assert numpy.bincount(labels).tolist() == [15] * 6


@pytest.mark.usefixtures("kernels")
def test_planted_modules_that_are_balanced_within_classes_are_found():
    # The units of a class are joined to those of the next only, as in a layered graph.
    rand = numpy.random.default_rng(0)
    level, module = numpy.repeat([0, 1, 2], [30, 60, 30]), numpy.arange(120) % 3
    weight = numpy.where(module[:, None] == module, 1.0, 0.1) * rand.random((120, 120))
    weight *= level[:, None] + 1 == level
    bounds = SizeBounds.of(120, 3, classes=level)
    labels = refined_labels(csr_array(weight + weight.T), bounds, seed=0)
    assert [len(set(labels[module == k])) for k in range(3)] == [1, 1, 1]
    assert within(labels, bounds)


def planted(num_units, num_modules, seed, num_edges=12):
    """A sparse graph, four of five edges inside of modules."""
    rand = numpy.random.default_rng(seed)
    source = numpy.repeat(numpy.arange(num_units), num_edges)
    target = rand.integers(0, num_units, len(source))
    inside = rand.random(len(source)) < 0.8
    aligned = target - target % num_modules + source % num_modules
    target = numpy.where(inside, aligned % num_units, target)
    half = coo_array((rand.exponential(size=len(source)), (source, target))).tocsr()
    return csr_array(half + half.T), numpy.arange(num_units) % num_modules


@pytest.mark.usefixtures("kernels")
def test_planted_modules_of_thousands_of_units_are_found():
    affinity, module = planted(3000, 5, seed=0)
    bounds = SizeBounds.of(3000, 5, tolerance=0.05)
    search = repair(affinity, refined_labels(affinity, bounds, seed=0), bounds)
    assert search.normalized_cut <= repair(affinity, module, bounds).normalized_cut + 1e-9
    assert within(search.labels, bounds)


@given(st.integers(2, 3), st.sampled_from([0.0, 0.5]), st.integers(1, 2), seeds)
@with_fixture
@pytest.mark.usefixtures("kernels")
def test_the_best_partition_of_eight_units_is_found(num_modules, tolerance, num_classes, seed):
    affinity = affinity_of("plain", 8, seed)
    classes = classes_of(8, num_classes, seed)
    bounds = SizeBounds.of(8, num_modules, tolerance=tolerance, classes=classes)
    least = 1.0
    dense = affinity.toarray()
    for labels in itertools.product(range(num_modules), repeat=8):
        if within(numpy.array(labels), bounds):
            member = numpy.eye(num_modules)[list(labels)]
            inside, volume = ((member.T @ dense) * member.T).sum(1), (member.T @ dense).sum(1)
            ratios = numpy.divide(inside, volume, where=volume > 0, out=numpy.zeros(num_modules))
            least = min(least, 1 - ratios.mean())
    found = repair(affinity, refined_labels(affinity, bounds, seed=0), bounds).normalized_cut
    assert found == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("num_units", [200, 2000])
def test_labels_do_not_depend_on_the_number_of_threads(num_units):
    affinity, _ = planted(num_units, 4, seed=1)
    found = []
    for count in (1, 2):
        with threadpool_limits(count):
            found.append(refined_labels(affinity, SizeBounds.of(num_units, 4), seed=3).tolist())
    assert found[0] == found[1]


def test_levels_are_logged(caplog):
    affinity, _ = planted(2000, 4, seed=1)
    with caplog.at_level("INFO", logger="pyg_modules"):
        refined_labels(affinity, SizeBounds.of(2000, 4), seed=0)
    levels = [record.message for record in caplog.records if record.message.endswith("groups.")]
    assert levels[0].startswith("2000 units in ")
    assert len(levels) > 2
