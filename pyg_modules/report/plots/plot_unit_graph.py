from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.labels import SHARED, read_labels
from pyg_modules.partition.units import check_finite
from pyg_modules.report.palette import GUIDE, NEGATIVE, module_color
from pyg_modules.report.plots.axes import axes_or_empty, ink, paper
from pyg_modules.report.plots.weights import drawn_weights
from pyg_modules.report.unit_groups import UnitGroup, group_of_unit, unit_groups
from pyg_modules.report.unit_layout import edge_curves, place_name, place_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_UNITS = 300
_MOST_EDGES = 300
#: Thinnest and widest line, in points.
_UNIT_LINES, _GROUP_LINES = (0.3, 1.6), (0.5, 7.0)
_POINTS_PER_EDGE = 24
# Free space around the circles, for self-loops and names.
_MARGIN = torch.tensor([1.0, 2.5], device="cpu")


def plot_unit_graph(
    layer: UnitLayer, labels: Tensor | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the units of a layer by module, with the strongest of its edges.

    Inputs stand on the left, outputs on the right, and the hidden units of every module in a circle
    of their own, below its number. The width of an edge is the magnitude of its weight, as the
    solver uses it; the 300 strongest edges are drawn. An edge bends to its right, seen from its
    source.

    Above 300 units there is one circle per module, with an area in proportion to its number of
    units, and the width of an edge is the sum of the magnitudes between two circles. Inputs and
    outputs that belong to a module are then part of its circle.

    Args:
        layer (UnitLayer): The layer to look at.
        labels (LongTensor, optional): Module of every unit, ``[N]``, −1 for units that all modules
            share. (default: those of a layer made by :func:`~pyg_modules.cut`; for others, all
            hidden units stand in one circle)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with a legend that says how many edges are drawn.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph``, or ``labels`` not an integer tensor.
        ValueError: If ``labels`` is not one module, or −1, per unit, or has a gap, or a weight is
            not finite.
    """
    check_layer(layer)
    graph = layer.graph
    if labels is None:
        labels = layer.labels
    if labels is None:
        labels = torch.full((graph.num_units,), SHARED, device="cpu")
    merged = graph.num_units > _MOST_UNITS
    labels = read_labels(labels, graph.num_units)[0].cpu()
    groups = unit_groups(graph, labels, merged=merged)
    weight = drawn_weights(layer).float()
    check_finite(weight)
    ax = axes_or_empty(ax)
    position, radius = place_units(groups, merged=merged)
    edges = graph.edge_index, weight
    if merged:
        edges = _sums_of_magnitudes(*edges, groups)
    shown = _draw_edges(ax, *edges, position, radius, merged)
    has_modules = any(group.module is not None for group in groups)
    _draw_legend(ax, f"{shown}; numbers are modules" if has_modules else shown, merged)
    for group in groups:
        _draw_group(ax, group, position, radius, labels, merged)
    low, high = (position.T - radius).amin(dim=1), (position.T + radius).amax(dim=1)
    (left, bottom), (right, top) = (low - _MARGIN).tolist(), (high + _MARGIN).tolist()
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_axis_off()
    return ax


def _draw_group(
    ax: Axes, group: UnitGroup, position: Tensor, radius: Tensor, labels: Tensor, merged: bool
) -> None:
    from matplotlib.collections import EllipseCollection

    circles = group.units[:1] if merged else group.units
    diameters = 2 * radius[circles].numpy()
    ax.add_collection(
        EllipseCollection(
            diameters,
            diameters,
            0 * diameters,
            units="xy",
            offsets=position[circles].numpy(),
            offset_transform=ax.transData,
            facecolors=[
                module_color(k) if k >= 0 else group.color for k in labels[circles].tolist()
            ],
            edgecolors="white",
            linewidths=0.4,
            zorder=3,
            label=group.name,
        )
    )
    x, y, align = place_name(group, position, radius)
    ax.text(
        x,
        y,
        f"{group.key} ({len(group.units):,})" if group.module is None else f"{group.module}",
        fontsize=8,
        ha=align,
        va="bottom",
        zorder=4,
        bbox={
            "boxstyle": "round,pad=0.2",
            "facecolor": paper(),
            "edgecolor": group.color,
            "alpha": 0.85,
        },
    )


def _draw_edges(
    ax: Axes, edge_index: Tensor, weight: Tensor, position: Tensor, radius: Tensor, merged: bool
) -> str:
    """Draw the strongest edges, and return what there is to say of them."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    num_edges = int(weight.count_nonzero())
    order = torch.argsort(weight.abs(), descending=True, stable=True)
    # The strongest are drawn last, on top.
    drawn = order[: min(num_edges, _MOST_EDGES)].flip(0)
    strength = weight[drawn].abs()
    widest = max(strength.tolist(), default=0.0)
    share = strength / widest
    thin, wide = _GROUP_LINES if merged else _UNIT_LINES
    colors = [
        to_rgba(GUIDE if merged else ink() if value > 0 else NEGATIVE, alpha)
        for value, alpha in zip(weight[drawn].tolist(), (0.25 + 0.55 * share).tolist(), strict=True)
    ]
    source, target = edge_index[:, drawn]
    controls = edge_curves(position[source], position[target], radius[source])
    t = torch.linspace(0, 1, _POINTS_PER_EDGE, device="cpu")
    bernstein = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    ax.add_collection(
        LineCollection(
            list(torch.einsum("kt,kec->etc", bernstein, controls).numpy()),
            linewidths=(thin + (wide - thin) * share).numpy(),
            colors=colors,
            zorder=2,
            label="edges",
        )
    )
    shown = f"{len(drawn):,} strongest of" if len(drawn) < num_edges else "all"
    what, measure = ("pairs of groups with edges", "sum") if merged else ("edges", "|weight|")
    return f"{shown} {num_edges:,} {what}\nwidest {measure} {widest:.4g}"


def _draw_legend(ax: Axes, title: str, merged: bool) -> None:
    from matplotlib.lines import Line2D

    lines = {"positive weight": (ink(), 2), "negative weight": (NEGATIVE, 2)}
    if merged:
        lines = {"sum of |weight| from one group to another": (GUIDE, 4)}
    legend = ax.legend(
        [Line2D([], [], color=color, linewidth=width) for color, width in lines.values()],
        list(lines),
        title=title,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=2,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
    legend.get_title().set_multialignment("center")
    legend.set_zorder(5)


def _sums_of_magnitudes(
    edge_index: Tensor, weight: Tensor, groups: Sequence[UnitGroup]
) -> tuple[Tensor, Tensor]:
    """Edges between the first units of all pairs of groups, and the magnitudes between these."""
    source, target = group_of_unit(groups)[edge_index]
    sums = torch.zeros(len(groups), len(groups), device="cpu")
    sums.index_put_((source, target), weight.abs(), accumulate=True)
    first = torch.stack([group.units[0] for group in groups])
    return torch.cartesian_prod(first, first).T, sums.flatten()
