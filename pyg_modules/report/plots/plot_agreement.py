from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
from torch import Tensor

from pyg_modules.partition.agreement import agreement
from pyg_modules.report.palette import SEQUENTIAL
from pyg_modules.report.plots.axes import add_colorbar, axes_or_empty
from pyg_modules.report.plots.cells import write_in_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More partitions than these are not all named.
_MOST_NAMED = 20


def plot_agreement(partitions: Sequence[Tensor], *, ax: Axes | None = None) -> Axes:
    """Draw the adjusted Rand index of every pair of partitions as a matrix.

    Args:
        partitions (sequence of LongTensor): Module of every unit, ``[N]`` each, −1 for shared
            units; such as those of several seeds.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes; 1 is for equal partitions, 0 for what chance gives.

    Raises:
        TypeError: If a partition is not an integer tensor.
        ValueError: If there are less than two, or two of them cannot be compared, see
            :func:`~pyg_modules.partition.agreement`.
    """
    if len(partitions) < 2:
        raise ValueError(
            f"Expected at least two partitions (got {len(partitions)}). Repeat the run with another"
            f" seed."
        )
    matrix = numpy.array(
        [[agreement(one, other)["ari"] for other in partitions] for one in partitions]
    )
    ax = axes_or_empty(ax)
    image = ax.imshow(
        matrix,
        cmap=SEQUENTIAL,
        # Less than by chance is possible, and rare.
        vmin=min(0.0, matrix.min()),
        vmax=1,
        interpolation="nearest",
    )
    add_colorbar(image, "adjusted Rand index")
    if len(partitions) <= _MOST_NAMED:
        ax.set_xticks(range(len(partitions)))
        ax.set_yticks(range(len(partitions)))
    ax.set_xlabel("partition")
    ax.set_ylabel("partition")
    write_in_cells(image, [[f"{value:.2f}" for value in row] for row in matrix.tolist()])
    return ax
