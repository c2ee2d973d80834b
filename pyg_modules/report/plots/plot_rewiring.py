from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import read_labels
from pyg_modules.report.palette import CATEGORIES, GUIDE, NEGATIVE
from pyg_modules.report.plots.axes import axes_or_current, legend_above
from pyg_modules.report.plots.plot_adjacency import name_modules, name_units
from pyg_modules.report.plots.plot_degrees import check_graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What became of an edge, and its colour.
_KINDS = {"kept": GUIDE, "removed": NEGATIVE, "added": CATEGORIES[0]}


def plot_rewiring(
    before: UnitGraph, after: UnitGraph, labels: Tensor | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw which edges between hidden units were kept, removed and added, as a matrix.

    Args:
        before (UnitGraph): The graph as it was, e.g. ``layer.graph`` before a training.
        after (UnitGraph): The graph of the same units as it is now.
        labels (LongTensor, optional): Module of every unit, ``[N]``. With labels, units are
            ordered by module, those that all modules share (−1) first. (default: by their ids)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as targets and columns as sources; the numbers
        are those of the edges that are drawn.

    Raises:
        TypeError: If a graph is no ``UnitGraph``, or ``labels`` not an integer tensor.
        ValueError: If the graphs have other units, or no hidden ones, or ``labels`` is not one
            module, or −1, per unit.
    """
    check_graph("before", before)
    check_graph("after", after)
    if (before.num_units, before.hidden) != (after.num_units, after.hidden):
        raise ValueError(
            f"Expected two graphs of the same units (got {before} and {after})."
            " Compare a graph with what rewire made of it."
        )
    if labels is not None:
        labels, _ = read_labels(labels, before.num_units)
    ax = axes_or_current(ax)
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    hidden = before.hidden
    was, now = _matrix(before), _matrix(after)
    # As positions in the names of the kinds, from 1; 0 is none.
    matrix = (was & now) * 1 + (was & ~now) * 2 + (~was & now) * 3
    begin = -0.5 if labels is not None else hidden.start - 0.5
    if labels is not None:
        of_hidden = labels.cpu()[hidden.start : hidden.stop]
        order = torch.argsort(of_hidden, stable=True).numpy()
        matrix = matrix[order][:, order]
    end = begin + len(hidden)
    ax.imshow(
        matrix,
        cmap=ListedColormap(["white", *_KINDS.values()]),
        vmin=0,
        vmax=len(_KINDS),
        interpolation="nearest",
        extent=(begin, end, end, begin),
    )
    if labels is None:
        name_units(ax)
    else:
        name_modules(ax, of_hidden)
    counts = numpy.bincount(matrix.ravel(), minlength=1 + len(_KINDS))[1:]
    handles = [
        Patch(facecolor=color, label=f"{kind} ({count:,})")
        for (kind, color), count in zip(_KINDS.items(), counts.tolist(), strict=True)
    ]
    legend_above(ax, 3, handles)
    return ax


def _matrix(graph: UnitGraph) -> numpy.typing.NDArray[numpy.bool_]:
    """Which edges there are between hidden units, ``[target, source]``."""
    source, target = (graph.edge_index.cpu() - graph.hidden.start).numpy()
    is_hidden = (source >= 0) & (target < graph.num_hidden)
    matrix = numpy.zeros((graph.num_hidden, graph.num_hidden), dtype=bool)
    matrix[target[is_hidden], source[is_hidden]] = True
    return matrix
