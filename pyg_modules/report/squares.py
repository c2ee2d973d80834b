from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.floating[Any]]

#: More to a side would be smaller than pixels, of which some are then not drawn at all.
MOST_SQUARES = 256


def largest_in_squares(matrix: Matrix) -> tuple[Matrix, tuple[int, int]]:
    """A matrix small enough to be drawn: the largest number of every square of cells.

    Args:
        matrix (numpy.ndarray): ``[R, C]``.

    Returns:
        tuple: The largest numbers, at most 256 to a side, and where the last of its rows and
        columns end, in cells of ``matrix``: a square may reach beyond it.
    """
    heights, widths = (-(-size // MOST_SQUARES) for size in matrix.shape)
    largest = np.maximum.reduceat(matrix, range(0, matrix.shape[0], heights), axis=0)
    largest = np.maximum.reduceat(largest, range(0, matrix.shape[1], widths), axis=1)
    return largest, (heights * largest.shape[0], widths * largest.shape[1])
