import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition.sizing import SizeBounds


def bounds(*arguments, **kwargs):
    found = SizeBounds.of(*arguments, **kwargs)
    return found.smallest.tolist(), found.largest.tolist()


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


@given(st.integers(2, 50), st.integers(2, 10), st.floats(0, 1))
def test_there_is_a_partition_within_the_bounds(num_units, num_modules, tolerance):
    num_modules = min(num_units, num_modules)
    found = SizeBounds.of(num_units, num_modules, tolerance=tolerance)
    assert found.smallest.sum() <= num_units <= found.largest.sum()
    assert numpy.all(found.smallest >= 1)


@pytest.mark.parametrize(
    ("arguments", "kwargs", "error", "message"),
    [
        ((10, 1), {}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ((10, 11), {}, ValueError, r"from 2 to 10, .* partitioned \(got 11\)"),
        ((10, 2.0), {}, TypeError, r"num_modules to be an int \(got float"),
        ((10, 2), {"tolerance": -0.1}, ValueError, r"tolerance >= 0 \(got -0.1\)"),
        ((10, 2, [5]), {}, ValueError, r"one capacity per module, 2 \(got 1: \[5\]\)"),
        ((10, 2, [5, 6]), {}, ValueError, r"add up to 10, .* \(got 11: \[5, 6\]\)"),
        ((10, 2, [0, 10]), {}, ValueError, r"capacities\[0\] >= 1 \(got 0\)"),
        ((10, 2, [5, 5.0]), {}, TypeError, r"capacities\[1\] to be an int"),
    ],
)
def test_bad_sizes_are_refused(arguments, kwargs, error, message):
    with pytest.raises(error, match=message):
        SizeBounds.of(*arguments, **kwargs)
