from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import read_labels
from pyg_modules.report.edge_bins import KINDS, bin_edges
from pyg_modules.report.plots.axes import axes_or_empty, legend_above
from pyg_modules.report.plots.plot_adjacency import name_modules, name_units
from pyg_modules.report.plots.plot_degrees import check_same_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_rewiring(
    before: UnitGraph, after: UnitGraph, labels: Tensor | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw which edges between hidden units were kept, removed and added, as a matrix.

    Args:
        before (UnitGraph): The graph as it was, e.g. ``schedule.first_graph``.
        after (UnitGraph): The graph of the same units as it is now.
        labels (LongTensor, optional): Module of every unit, ``[N]``. With labels, units are
            ordered by module, those that all modules share (−1) first. (default: by their ids)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as targets and columns as sources; the numbers
        are those of the edges that are drawn. Of more than 256 hidden units, edges of several are
        drawn as one square, in a mixture of their colours, the darker, the more there are.

    Raises:
        TypeError: If a graph is no ``UnitGraph``, or ``labels`` not an integer tensor.
        ValueError: If the graphs have other units, or no hidden ones, or ``labels`` is not one
            module, or −1, per unit.
    """
    check_same_units(before, after)
    if labels is not None:
        labels, _ = read_labels(labels, before.num_units)
    ax = axes_or_empty(ax)
    from matplotlib.patches import Patch

    bins = bin_edges(before, after, labels)
    begin = (before.hidden.start if labels is None else 0) - 0.5
    colors = bins.rgb()
    # The last squares may reach beyond the last unit.
    beyond = begin + bins.width * len(colors)
    ax.imshow(colors, interpolation="nearest", extent=(begin, beyond, beyond, begin))
    end = begin + before.num_hidden
    ax.set_xlim(begin, end)
    ax.set_ylim(end, begin)
    if labels is None:
        name_units(ax)
    else:
        name_modules(ax, labels.cpu()[bins.units])
    handles = [
        Patch(facecolor=color, label=f"{kind} ({bins.counts[kind].sum():,})")
        for kind, color in KINDS.items()
    ]
    legend_above(ax, 3, handles)
    return ax
