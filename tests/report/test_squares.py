import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.report.squares import largest_in_squares


@pytest.mark.parametrize("shape", [(1, 1), (5, 256), (256, 256)])
def test_what_is_small_stays_as_it_is(shape):
    matrix = numpy.random.default_rng(0).random(shape)
    largest, ends = largest_in_squares(matrix)
    numpy.testing.assert_array_equal(largest, matrix)
    assert ends == shape


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 9))
def test_every_square_has_the_largest_of_its_cells(rows, columns, seed):
    matrix = numpy.random.default_rng(seed).random((rows, columns))
    largest, ends = largest_in_squares(matrix)
    heights, widths = (end // size for end, size in zip(ends, largest.shape, strict=True))
    assert max(largest.shape) <= 256
    assert rows <= ends[0] < rows + heights
    assert columns <= ends[1] < columns + widths
    for row, column in ((0, 0), (len(largest) // 2, largest.shape[1] - 1)):
        cells = matrix[row * heights : (row + 1) * heights, column * widths : (column + 1) * widths]
        assert largest[row, column] == cells.max()
    assert largest.max() == matrix.max()
