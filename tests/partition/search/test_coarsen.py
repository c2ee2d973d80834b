import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from pyg_modules.partition.search.coarsen import Level, coarsened
from tests.strategies import seeds

SHARED_FIXTURE = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def symmetric(num_units, density, seed):
    generator = numpy.random.default_rng(seed)
    half = random_array((num_units, num_units), density=density, rng=generator).tocsr()
    return csr_array(half + half.T)


@SHARED_FIXTURE
@given(st.integers(20, 60), st.sampled_from([0.0, 0.02, 0.3]), st.booleans(), seeds)
@pytest.mark.usefixtures("kernels")
def test_groups_are_small_of_one_class_and_module_and_keep_all_affinities(
    num_units, density, has_labels, seed
):
    affinity = symmetric(num_units, density, seed)
    generator = numpy.random.default_rng(seed)
    classes = numpy.unique(generator.integers(0, 3, num_units), return_inverse=True)[1]
    labels = generator.integers(0, 4, num_units)
    largest = numpy.array([4, 1, 6])[: classes.max() + 1]
    finest = Level.finest(affinity, classes)
    levels = coarsened(finest, 8, largest, generator, labels if has_labels else None)
    group = numpy.arange(num_units)
    for level in levels[1:]:
        group = level.group[group]
        members = numpy.eye(len(level.num_members))[group]
        expected = members.T @ affinity.toarray() @ members
        numpy.testing.assert_allclose(level.affinity.toarray(), expected, atol=1e-12)
        assert level.num_members.tolist() == numpy.bincount(group).tolist()
        assert (level.num_members <= largest[level.classes]).all()
        assert (level.classes[group] == classes).all()
        if has_labels:
            assert (level.of_groups(labels)[level.group] == labels).all()
            labels = level.of_groups(labels)


@pytest.mark.usefixtures("kernels")
def test_what_hangs_on_a_hub_and_what_is_of_different_classes_is_put_together_too():
    # A star: only one pair is joined. Units 1 and 3, and 2 and 4, are of one class each.
    star = numpy.zeros((2001, 2001))
    star[0, 1:] = star[1:, 0] = 1
    alternating = numpy.arange(2001) % 2
    levels = coarsened(
        Level.finest(csr_array(star), alternating),
        50,
        numpy.array([100, 100]),
        numpy.random.default_rng(0),
    )
    assert len(levels[-1].num_members) <= 50
    assert levels[-1].num_members.sum() == 2001


@pytest.mark.usefixtures("kernels")
def test_units_without_any_affinity_are_put_together():
    alone = Level.finest(csr_array((100, 100)), numpy.zeros(100, dtype=numpy.int64))
    levels = coarsened(alone, 10, numpy.array([16]), numpy.random.default_rng(0))
    assert [len(level.num_members) for level in levels] == [100, 50, 25, 13, 7]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("kernels")
def test_the_nearest_units_are_put_together_first(seed):
    # Pairs with a heavy edge in a complete graph of light ones.
    affinity = numpy.full((40, 40), 0.01)
    affinity[numpy.arange(40), numpy.arange(40) ^ 1] = 1
    numpy.fill_diagonal(affinity, 0)
    finest = Level.finest(csr_array(affinity), numpy.zeros(40, dtype=numpy.int64))
    _, coarse = coarsened(finest, 20, numpy.array([40]), numpy.random.default_rng(seed))
    assert (coarse.group[::2] == coarse.group[1::2]).all()
    assert len(coarse.num_members) == 20
