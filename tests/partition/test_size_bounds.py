import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition.size_bounds import SizeBounds


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


@pytest.mark.parametrize(
    ("arguments", "kwargs", "error", "message"),
    [
        ((0, 2), {}, ValueError, r"at least 2 units to partition \(got 0\)"),
        ((10, True), {}, TypeError, r"num_modules to be an int \(got bool"),
        ((10, 1), {}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ((10, 11), {}, ValueError, r"from 2 to 10, .* partitioned \(got 11\)"),
        ((10, 2.0), {}, TypeError, r"num_modules to be an int \(got float"),
        ((10, 2), {"tolerance": -0.1}, ValueError, r"tolerance >= 0 \(got -0.1\)"),
        ((10, 2), {"tolerance": float("nan")}, ValueError, r"finite tolerance >= 0 \(got nan\)"),
        ((10, 2), {"tolerance": float("inf")}, ValueError, r"finite tolerance >= 0 \(got inf\)"),
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
