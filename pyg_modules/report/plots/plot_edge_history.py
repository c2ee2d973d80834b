from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_current, check_history, count_along, legend_above
from pyg_modules.structure.edge_record import EdgeRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_edge_history(history: Sequence[EdgeRecord], *, ax: Axes | None = None) -> Axes:
    """Draw what became of the edges of a layer while it was trained.

    Args:
        history (sequence of EdgeRecord): That of a :class:`~pyg_modules.structure.SparseSchedule`.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with the number of edges in every epoch, how many of them
        have been there from the first epoch on, and how many came at its beginning.

    Raises:
        TypeError: If it has other records.
        ValueError: If the history is empty.
    """
    check_history(history, EdgeRecord, "schedule.history of a SparseSchedule")
    ax = axes_or_current(ax)
    epochs = [record.epoch + 1 for record in history]
    curves = {
        "all edges": [record.num_edges for record in history],
        "stayed from the first": [record.num_stayed for record in history],
        "grown in the epoch": [record.num_grown for record in history],
    }
    # A line of one point would not be seen.
    marker = "o" if len(history) == 1 else ""
    for (name, values), color in zip(curves.items(), CATEGORIES, strict=False):
        ax.plot(epochs, values, color=color, marker=marker, label=name)
    ax.fill_between(
        epochs, curves["stayed from the first"], color=CATEGORIES[1], alpha=0.2, linewidth=0
    )
    ax.set_ylim(bottom=0)
    count_along(ax.xaxis)
    count_along(ax.yaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel("number of edges")
    legend_above(ax, 3)
    return ax
