from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyg_modules.report.edge_bands import edge_bands
from pyg_modules.report.plots.axes import (
    axes_or_empty,
    check_history,
    count_along,
    ink,
    legend_above,
)
from pyg_modules.structure.edge_record import EdgeRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_edge_history(history: Sequence[EdgeRecord], *, ax: Axes | None = None) -> Axes:
    """Draw what became of the edges of a layer while it was trained.

    Args:
        history (sequence of EdgeRecord): That of a :class:`~pyg_modules.structure.SparseSchedule`.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with the edges of every epoch above each other: those that
        have been there from the first epoch on, those that came before this epoch, and those that
        came at its beginning, which are there still in the last one or have gone since. Below 0
        are those that went at its beginning.

    Raises:
        TypeError: If it has other records.
        ValueError: If the history is empty.
    """
    check_history(history, EdgeRecord, "schedule.history of a SparseSchedule")
    ax = axes_or_empty(ax)
    borders, bands = edge_bands(history)
    for name, color, low, high in bands:
        ax.stairs(high, borders, baseline=low, color=color, fill=True, label=name)
    ax.axhline(0, color=ink(), linewidth=0.8)
    # Else those that went would reach to the border.
    ax.use_sticky_edges = False
    ax.autoscale_view()
    count_along(ax.xaxis)
    count_along(ax.yaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel("number of edges")
    legend_above(ax, 3)
    return ax
