from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
import torch

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_current, count_along, legend_above

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# More bars than these would be thinner than a line.
_MOST_BARS = 60


def plot_degrees(graph: UnitGraph, *, ax: Axes | None = None) -> Axes:
    """Draw how many hidden units receive from, and send to, how many others.

    Args:
        graph (UnitGraph): The units and their edges, e.g. ``layer.graph``.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with the distribution of the in-degree and of the
        out-degree; inputs and outputs are among the others. Degrees in a wide range are drawn by
        several to a bar.

    Raises:
        TypeError: If ``graph`` is no ``UnitGraph``.
        ValueError: If there is no hidden unit.
    """
    check_graph("graph", graph)
    ax = axes_or_current(ax)
    from matplotlib.patches import Patch

    hidden = graph.hidden
    degrees = {}
    for name, ends in (("in-degree", graph.edge_index[1]), ("out-degree", graph.edge_index[0])):
        counts = torch.bincount(ends.cpu(), minlength=graph.num_units)
        degrees[name] = counts[hidden.start : hidden.stop].numpy()
    smallest = min(int(values.min()) for values in degrees.values())
    largest = max(int(values.max()) for values in degrees.values())
    width = -(-(largest - smallest + 1) // _MOST_BARS)
    edges = numpy.arange(smallest, largest + width + 1, width) - 0.5
    handles: list[Artist] = []
    for (name, values), color in zip(degrees.items(), CATEGORIES, strict=False):
        count, _ = numpy.histogram(values, edges)
        ax.stairs(count, edges, color=color, fill=True, alpha=0.35)
        ax.stairs(count, edges, color=color, linewidth=1.5, label=name)
        handles.append(Patch(facecolor=color, label=f"{name}, mean {values.mean():.1f}"))
    count_along(ax.xaxis)
    count_along(ax.yaxis)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("number of edges of a hidden unit")
    ax.set_ylabel("hidden units")
    legend_above(ax, 2, handles)
    return ax


def check_graph(name: str, graph: UnitGraph) -> None:
    """Raise unless ``graph`` is one with hidden units.

    Raises:
        TypeError: If it is no ``UnitGraph``.
        ValueError: If it has no hidden unit.
    """
    if not isinstance(graph, UnitGraph):
        raise TypeError(
            f"Expected {name} to be a UnitGraph (got {type(graph).__name__}). Use e.g. layer.graph."
        )
    if graph.num_hidden == 0:
        raise ValueError(
            f"Expected {name} to have a hidden unit (got none). Use a graph with some."
        )
