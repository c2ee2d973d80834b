import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition.search.size_bounds import SizeBounds


def bounds(*arguments, **kwargs):
    found = SizeBounds.of(*arguments, **kwargs)
    (smallest,), (largest,) = found.smallest.tolist(), found.largest.tolist()
    return smallest, largest


def test_sizes_are_equal_to_one_unit():
    assert bounds(10, 3) == ([3, 3, 3], [4, 4, 4])
    assert bounds(12, 3) == ([4, 4, 4], [4, 4, 4])


def test_a_tolerance_is_a_share_of_the_size():
    assert bounds(100, 4, tolerance=0.1) == ([23] * 4, [27] * 4)
    # Less than a unit: rounding to one unit is allowed all the same.
    assert bounds(10, 3, tolerance=0.01) == ([3] * 3, [4] * 3)


def test_no_module_is_left_without_units():
    assert bounds(4, 4, tolerance=1.0)[0] == [1] * 4


def test_capacities_are_the_sizes():
    assert bounds(10, 3, [2, 3, 5]) == ([2, 3, 5], [2, 3, 5])
    assert bounds(100, 2, [20, 80], tolerance=0.1) == ([18, 72], [22, 88])
    # 10% of 2 and of 3 is no whole unit.
    assert bounds(10, 3, [2, 3, 5], tolerance=0.1) == ([2, 3, 5], [2, 3, 5])


def test_as_many_modules_as_units_have_one_each():
    assert bounds(4, 4) == ([1] * 4, [1] * 4)


def test_sizes_of_numpy_are_taken():
    assert bounds(10, numpy.int64(2), numpy.array([4, 6])) == ([4, 6], [4, 6])


# Shares that are exact in binary, so that the expected sizes are too.
@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.sampled_from([0.25, 0.5, 1.0]))
def test_every_size_whose_share_is_tolerated_is_within_the_bounds_and_no_other(sizes, tolerance):
    found = SizeBounds.of(sum(sizes), len(sizes), sizes, tolerance)
    # The other modules have a unit each at least.
    possible = sum(sizes) - len(sizes) + 1
    for size, smallest, largest in zip(sizes, found.smallest[0], found.largest[0], strict=True):
        tolerated = [n for n in range(1, possible + 1) if abs(n - size) <= tolerance * size]
        assert tolerated == list(range(smallest, largest + 1))


@pytest.mark.parametrize("capacity", [20, 25, 40, 50, 100])
def test_the_bounds_of_whole_percents_are_exact(capacity):
    for percent in range(100):
        smallest = max(1, -(-capacity * (100 - percent) // 100))
        largest = capacity * (100 + percent) // 100
        expected = [smallest] * 2, [largest] * 2
        assert bounds(2 * capacity, 2, tolerance=percent / 100) == expected


@given(st.integers(2, 50), st.integers(2, 10), st.floats(0, 1))
def test_there_is_a_partition_within_the_bounds(num_units, num_modules, tolerance):
    num_modules = min(num_units, num_modules)
    found = SizeBounds.of(num_units, num_modules, tolerance=tolerance)
    assert found.smallest.sum() <= num_units <= found.largest.sum()
    assert numpy.all(found.smallest >= 1)


def test_every_module_has_its_share_of_every_class():
    classes = numpy.repeat([0, 1], [20, 40])
    found = SizeBounds.of(60, 4, classes=classes)
    assert found.smallest.tolist() == found.largest.tolist() == [[5] * 4, [10] * 4]
    assert found.classes.tolist() == classes.tolist()
    # 20 % of 15 are 3 units: one and two of the classes.
    found = SizeBounds.of(60, 4, tolerance=0.2, classes=classes)
    assert found.smallest.tolist() == [[4] * 4, [8] * 4]
    assert found.largest.tolist() == [[6] * 4, [12] * 4]
    found = SizeBounds.of(60, 2, [15, 45], classes=classes)
    assert found.smallest.tolist() == found.largest.tolist() == [[5, 15], [10, 30]]


def test_a_class_of_fewer_units_than_modules_is_not_in_all_of_them():
    found = SizeBounds.of(9, 4, classes=numpy.array([0, 0, 1, 1, 1, 1, 1, 1, 1]))
    assert found.largest[0].tolist().count(0) == 2
    assert found.largest.sum(axis=0).tolist() == [3, 2, 2, 2]


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=6),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.data(),
)
def test_bounds_of_classes_are_those_of_the_modules_taken_together(
    sizes, are_capacities, tolerance, data
):
    num_units, num_modules = sum(sizes), len(sizes)
    drawn = data.draw(st.lists(st.integers(0, 4), min_size=num_units, max_size=num_units))
    classes = numpy.unique(drawn, return_inverse=True)[1]
    capacities = sizes if are_capacities else None
    whole = SizeBounds.of(num_units, num_modules, capacities, tolerance)
    found = SizeBounds.of(num_units, num_modules, capacities, tolerance, classes)
    count = numpy.bincount(classes)
    assert (found.smallest >= 0).all()
    assert (found.smallest.sum(axis=1) <= count).all()
    assert (found.largest.sum(axis=1) >= count).all()
    assert (found.smallest.sum(axis=0) >= whole.smallest).all()
    exact = SizeBounds.of(num_units, num_modules, capacities, 0.0, classes)
    assert (found.smallest <= exact.largest).all()
    assert (exact.smallest <= found.largest).all()
    if len(count) > 1:
        capacity = numpy.array(capacities or exact.largest.sum(axis=0))
        assert (exact.smallest == exact.largest).all()
        assert exact.largest.sum(axis=1).tolist() == count.tolist()
        assert exact.largest.sum(axis=0).tolist() == capacity.tolist()
        assert capacity.max() - capacity.min() <= 1 or are_capacities
        share = count[:, None] * capacity / num_units
        assert (abs(exact.largest - share) < 1).all()
        most = numpy.maximum(capacity, numpy.floor((1 + tolerance) * capacity + 1e-9))
        assert (found.largest.sum(axis=0) <= most).all()


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ([0, 0, 1, 1], TypeError, r"classes to be an array of integers \(got list\)"),
        (numpy.zeros(4), TypeError, r"array of integers \(got float64\)"),
        (numpy.array([0, 1]), ValueError, r"class of every unit, \[4\] \(got \[2\]\)"),
        (numpy.array([0, 2, 2, 0]), ValueError, r"0..C-1, each with a unit \(got \[0, 2\]\)"),
        (numpy.array([1, 2, 2, 1]), ValueError, r"0..C-1, each with a unit \(got \[1, 2\]\)"),
        (numpy.array([-1, 0, 1, 1]), ValueError, r"got \[-1, 0, 1\]\). Renumber"),
    ],
)
def test_bad_classes_are_refused(classes, error, message):
    with pytest.raises(error, match=message):
        SizeBounds.of(4, 2, classes=classes)


@pytest.mark.parametrize(
    ("arguments", "kwargs", "error", "message"),
    [
        ((0, 2), {}, ValueError, r"at least 2 units to partition \(got 0\)"),
        ((10, True), {}, TypeError, r"num_modules to be an int \(got bool"),
        ((10, 1), {}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ((10, 11), {}, ValueError, r"from 2 to 10, .* partitioned \(got 11\)"),
        ((10, 2.0), {}, TypeError, r"num_modules to be an int \(got float"),
        ((10, 2), {"tolerance": -0.1}, ValueError, r"tolerance in \[0, 1\] \(got -0.1\)"),
        ((10, 2), {"tolerance": float("nan")}, ValueError, r"tolerance in \[0, 1\] \(got nan\)"),
        ((10, 2), {"tolerance": float("inf")}, ValueError, r"tolerance in \[0, 1\] \(got inf\)"),
        ((10, 2), {"tolerance": "0.1"}, TypeError, r"tolerance to be a number \(got str: '0.1'\)"),
        ((1, 2), {}, ValueError, r"at least 2 units to partition \(got 1\)"),
        ((10, 2, 5), {}, TypeError, r"sequence of 2 integers, .*\(got int: 5\)"),
        ((10, 2, [5]), {}, ValueError, r"one capacity per module, 2 \(got 1: \[5\]\)"),
        ((10, 2, [5, 4, 1]), {}, ValueError, r"per module, 2 \(got 3: \[5, 4, 1\]\)"),
        ((10, 2, [5, 6]), {}, ValueError, r"add up to 10, .* \(got 11: \[5, 6\]\)"),
        ((10, 2, [0, 10]), {}, ValueError, r"capacities\[0\] >= 1 \(got 0\)"),
        ((10, 2, [5, 5.0]), {}, TypeError, r"capacities\[1\] to be an int"),
    ],
)
def test_bad_sizes_are_refused(arguments, kwargs, error, message):
    with pytest.raises(error, match=message):
        SizeBounds.of(*arguments, **kwargs)


@given(st.data(), st.integers(2, 4), st.integers(2, 4), st.integers(1, 2))
def test_every_module_has_its_fewest_of_every_class_wherever_sizes_allow_it(
    data, num_classes, num_modules, fewest
):
    cells = st.lists(
        st.integers(fewest, 9),
        min_size=num_classes * num_modules,
        max_size=num_classes * num_modules,
    )
    possible = numpy.array(data.draw(cells)).reshape(num_classes, num_modules)
    count, sizes = possible.sum(axis=1), possible.sum(axis=0)
    classes, least = numpy.repeat(numpy.arange(num_classes), count), numpy.full(num_classes, fewest)
    found = SizeBounds.of(len(classes), num_modules, sizes, classes=classes, fewest=least)
    assert (found.smallest >= fewest).all()
    assert numpy.array_equal(found.smallest, found.largest)
    assert found.smallest.sum(axis=0).tolist() == sizes.tolist()
    assert found.smallest.sum(axis=1).tolist() == count.tolist()


def test_shares_are_raised_by_the_least_change():
    # Shares of 1.2, 0.9, 0.9 and of 2.8, 2.1, 2.1 units.
    classes, least = numpy.repeat([0, 1], [3, 7]), numpy.ones(2, dtype=int)
    found = SizeBounds.of(10, 3, classes=classes, fewest=least)
    assert found.smallest.tolist() == [[1, 1, 1], [3, 2, 2]]


def test_fewest_that_sizes_do_not_allow_are_left_out():
    classes, sizes = numpy.repeat([0, 1], [4, 6]), [9, 1]
    found = SizeBounds.of(10, 2, sizes, classes=classes, fewest=numpy.ones(2, dtype=int))
    assert found.largest.sum(axis=0).tolist() == sizes
