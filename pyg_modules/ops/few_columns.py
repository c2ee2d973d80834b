"""Products of transposed matrices, also with the few columns that a small batch has."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST, _MOST = 2, 12
_CELLS_OF_LARGE = 2**16


def multiply_transposed(
    transposed: Tensor, columns: Tensor, out: Tensor, *, adds: bool = False
) -> Tensor:
    """Write ``transposed @ columns`` to ``out``, or add it, and return that.

    MKL takes on some processors up to thirty times as long for 2 to 12 columns as for these as rows
    times the matrix as it is; for one column, or many, and for small matrices, it does not.

    Args:
        transposed (Tensor): A matrix whose transpose is contiguous, ``[..., m, n]``.
        columns (Tensor): ``[..., n, columns]``.
        out (Tensor): ``[..., m, columns]``.
        adds (bool, optional): Whether it is added to ``out``. (default: ``False``)
    """
    is_large = transposed.size(-1) * transposed.size(-2) >= _CELLS_OF_LARGE
    if is_large and _LEAST <= columns.size(-1) <= _MOST and columns.device.type == "cpu":
        product = (columns.mT @ transposed.mT).mT
        return out.add_(product) if adds else out.copy_(product)
    if adds:
        return out.addmm_(transposed, columns)
    return torch.matmul(transposed, columns, out=out)
