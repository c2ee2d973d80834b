from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.degree_bars import degree_bars
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_empty, count_along, legend_above

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


def plot_degrees(
    graph: UnitGraph, *, before: UnitGraph | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how many hidden units receive from, and send to, how many others.

    Args:
        graph (UnitGraph): The units and their edges, e.g. ``layer.graph``.
        before (UnitGraph, optional): The graph of the same units as it was, e.g.
            ``schedule.first_graph``, for dashed lines. (default: not drawn)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with the distribution of the in-degree and of the
        out-degree; inputs and outputs are among the others. Degrees in a wide range are drawn by
        several to a bar.

    Raises:
        TypeError: If a graph is no ``UnitGraph``.
        ValueError: If there is no hidden unit, or the graphs have other units.
    """
    check_graph("graph", graph)
    if before is not None:
        check_same_units(before, graph)
    ax = axes_or_empty(ax)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    starts, (now, *was) = degree_bars(*([graph] if before is None else [graph, before]))
    borders = starts - 0.5
    handles: list[Artist] = []
    for (name, bars), color in zip(now.items(), CATEGORIES, strict=False):
        ax.stairs(bars.counts, borders, color=color, fill=True, alpha=0.35)
        ax.stairs(bars.counts, borders, color=color, linewidth=1.5, label=name)
        handles.append(Patch(facecolor=color, label=f"{name}, mean {bars.mean:.1f}"))
        for of_before in was:
            counts, mean = of_before[name]
            label = f"{name} before, mean {mean:.1f}"
            ax.stairs(counts, borders, color=color, linestyle="--", label=label)
            handles.append(Line2D([], [], color=color, linestyle="--", label=label))
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


def check_same_units(before: UnitGraph, after: UnitGraph) -> None:
    """Raise unless both are graphs of the same units, some of them hidden.

    Raises:
        TypeError: If one is no ``UnitGraph``.
        ValueError: If one has no hidden unit, or other units than the other.
    """
    check_graph("before", before)
    check_graph("after", after)
    if (before.num_units, before.hidden) != (after.num_units, after.hidden):
        raise ValueError(
            f"Expected two graphs of the same units (got {before} and {after})."
            " Compare a graph with what rewire made of it."
        )
