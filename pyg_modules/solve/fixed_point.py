"""Fixed points of maps on the columns of a state, found for every column on its own."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.solve.iteration import ColumnMap, Iteration
from pyg_modules.solve.stopped_columns import FixedPoint, StoppedColumns


def find_fixed_point(
    function: ColumnMap,
    initial: Tensor,
    *,
    tol: float,
    max_steps: int,
    memory: int,
    contraction: float = 1.0,
) -> FixedPoint:
    """Iterate ``h <- F(h)`` until the relative residual of a column is within ``tol``.

    With ``memory > 0`` the points are Anderson's. A point whose residual is not smaller than
    ``contraction`` times the one before is replaced by a plain iterate, so that for a contraction
    by that factor two evaluations always shrink the residual as much as one plain step.

    Columns that have converged are frozen, and left out once they are half of all.
    """
    iteration = Iteration(function, initial, memory, contraction)
    stopped = StoppedColumns(initial)
    for step in range(1, max_steps + 1):
        residual = iteration.evaluate()
        stops = residual <= tol if step < max_steps else torch.ones_like(stopped.is_open)
        num_open = stopped.stop(stops, step, iteration.state, residual)
        if num_open == 0:
            break
        if 2 * num_open <= stops.numel():
            iteration.select(stopped.compact())
        iteration.advance()
    return stopped.all_columns()
