"""Products of transposed matrices with a few columns, as a small batch is."""

from __future__ import annotations

from torch import Tensor

_LEAST, _MOST = 2, 12
_CELLS_OF_LARGE = 2**16


def are_few(columns: Tensor, matrix: Tensor) -> bool:
    """Whether the product with a transposed ``matrix`` is faster by rows.

    MKL takes on some processors up to thirty times as long for 2 to 12 columns as for these as rows
    times the matrix as it is; for one column, or many, and for small matrices, it does not.

    Args:
        columns (Tensor): ``[..., n, columns]``.
        matrix (Tensor): ``[..., n, m]``, or its transpose.
    """
    is_between = _LEAST <= columns.size(-1) <= _MOST
    is_large = matrix.size(-1) * matrix.size(-2) >= _CELLS_OF_LARGE
    return is_between and is_large and columns.device.type == "cpu"


def product_by_rows(transposed: Tensor, columns: Tensor) -> Tensor:
    """``transposed @ columns`` as rows times the matrix that is transposed."""
    return (columns.mT @ transposed.mT).mT
