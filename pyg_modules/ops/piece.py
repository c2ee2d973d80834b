from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from pyg_modules.ops.operator import EdgeOperator


@dataclass(frozen=True)
class Piece:
    """Some of the rows of an operator that are updated without the others.

    Args:
        operator (EdgeOperator): The operator of these rows.
        num_activated (int): How many of them are activated, the first ones.
        row_range (tuple of int, optional): The first of them and their number. (default: all)
        cell_range (tuple of int, optional): The same for the prepared weights. (default: all)
    """

    operator: EdgeOperator
    num_activated: int
    row_range: tuple[int, int] | None = None
    cell_range: tuple[int, int] | None = None

    def rows(self, states: Tensor, dim: int = 0) -> Tensor:
        """Those of the piece among states or sums of all."""
        return states if self.row_range is None else states.narrow(dim, *self.row_range)

    def cells(self, values: Tensor) -> Tensor:
        """Those of the piece among prepared weights of all, or their gradients."""
        return values if self.cell_range is None else values.narrow(0, *self.cell_range)
