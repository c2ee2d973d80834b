from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer
from pyg_modules.partition.labels import check_labels
from pyg_modules.report.palette import GUIDE, NEGATIVE, POSITIVE, module_color
from pyg_modules.report.plots.axes import axes_or_current
from pyg_modules.report.plots.unit_layout import HALF_HEIGHT, Placement, place_groups, place_units
from pyg_modules.report.plots.weights import check_finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_UNITS = 300
_MOST_EDGES = 300
#: Thinnest and widest line, in points.
_UNIT_LINES, _GROUP_LINES = (0.3, 1.6), (0.5, 7.0)
# How far an edge bends to its right, relative to its length: j -> i and i -> j stay apart.
_BEND = 0.12
_POINTS_PER_EDGE = 24


def plot_unit_graph(
    layer: SynchronousGraph, labels: Tensor | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the units of a layer by module, with the strongest of its edges.

    Inputs stand on the left, outputs on the right, and the hidden units of every module in a circle
    of their own around its number. The width of an edge is the magnitude of its weight, as the
    solver uses it; the 300 strongest edges are drawn. An edge bends to its right, seen from its
    source.

    Above 300 units there is one circle per module, with an area in proportion to its number of
    units, and the width of an edge is the sum of the magnitudes between two circles. Inputs and
    outputs that belong to a module are then part of its circle.

    Args:
        layer (SynchronousGraph): The layer to look at.
        labels (LongTensor, optional): Module of every unit, ``[N]``, −1 for units that all modules
            share. (default: those of a layer made by :func:`~pyg_modules.cut`; for others, all
            hidden units stand in one circle)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

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
        labels = torch.full((graph.num_units,), -1)
    num_modules = check_labels(labels, graph.num_units)
    labels = labels.cpu()
    weight = layer.scaled_weight().detach().cpu().float()
    check_finite(weight)
    by_group = graph.num_units > _MOST_UNITS
    ax = axes_or_current(ax)
    place = place_groups if by_group else place_units
    placement = place(graph, labels, num_modules)
    _draw_edges(ax, graph.edge_index, weight, placement, num_modules, by_group)
    _draw_circles(ax, placement, labels, by_group)
    _set_limits(ax, placement)
    return ax


def _draw_circles(ax: Axes, placement: Placement, labels: Tensor, by_group: bool) -> None:
    from matplotlib.collections import EllipseCollection

    for number, (group, circles) in enumerate(
        zip(placement.groups, placement.members, strict=True)
    ):
        colors = [group.color]
        if not by_group:
            modules = labels[group.units].tolist()
            colors = [module_color(k) if k >= 0 else group.color for k in modules]
        diameters = 2 * placement.radius[circles].numpy()
        ax.add_collection(
            EllipseCollection(
                diameters,
                diameters,
                0 * diameters,
                units="xy",
                offsets=placement.position[circles].numpy(),
                offset_transform=ax.transData,
                facecolors=colors,
                edgecolors="white",
                linewidths=0.4,
                zorder=3,
                label=group.name,
            )
        )
        x, y = placement.title_position[number].tolist()
        at_side = group.place != "ring"
        ax.text(
            x,
            y + (0.1 if at_side else 0.0),
            group.title,
            fontsize=8,
            ha="center",
            va="bottom" if at_side else "center",
            zorder=4,
            bbox={
                "boxstyle": "round,pad=0.2",
                "facecolor": "white",
                "edgecolor": group.color,
                "alpha": 0.85,
            },
        )


def _draw_edges(
    ax: Axes,
    edge_index: Tensor,
    weight: Tensor,
    placement: Placement,
    num_modules: int,
    by_group: bool,
) -> None:
    """Draw the strongest edges, and say how many of how many in the legend."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    source, target = placement.circle_of_unit[edge_index]
    if by_group:
        source, target, weight = _sums_of_magnitudes(source, target, weight, placement)
    num_edges = int(weight.count_nonzero())
    order = torch.argsort(weight.abs(), descending=True, stable=True)
    # The strongest are drawn last, on top.
    drawn = order[: min(num_edges, _MOST_EDGES)].flip(0)
    strength = weight[drawn].abs()
    widest = float(strength.max()) if len(drawn) else 0.0
    share = strength / widest if len(drawn) else strength
    thin, wide = _GROUP_LINES if by_group else _UNIT_LINES
    colors = [
        to_rgba(GUIDE if by_group else POSITIVE if value > 0 else NEGATIVE, alpha)
        for value, alpha in zip(weight[drawn].tolist(), (0.25 + 0.55 * share).tolist(), strict=True)
    ]
    ax.add_collection(
        LineCollection(
            list(_curves(source[drawn], target[drawn], placement).numpy()),
            linewidths=(thin + (wide - thin) * share).numpy(),
            colors=colors,
            zorder=2,
            label="edges",
        )
    )
    shown = f"{len(drawn):,} strongest of {num_edges:,}"
    if len(drawn) == num_edges:
        shown = f"all {num_edges:,}"
    _draw_legend(ax, shown, widest, num_modules, by_group)


def _draw_legend(ax: Axes, shown: str, widest: float, num_modules: int, by_group: bool) -> None:
    from matplotlib.lines import Line2D

    if by_group:
        handles = [Line2D([], [], color=GUIDE, linewidth=4)]
        names = ["sum of |weight| from one group to another"]
        what, measure = "pairs of groups with edges", "sum"
    else:
        handles = [Line2D([], [], color=color, linewidth=2) for color in (POSITIVE, NEGATIVE)]
        names = ["positive weight", "negative weight"]
        what, measure = "edges", "|weight|"
    title = f"{shown} {what}\nwidest {measure} {widest:.4g}"
    if num_modules:
        title += "; numbers are modules"
    legend = ax.legend(
        handles,
        names,
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
    source: Tensor, target: Tensor, weight: Tensor, placement: Placement
) -> tuple[Tensor, Tensor, Tensor]:
    """Sources and targets of all pairs of groups, and the summed magnitudes between them."""
    num_groups = len(placement.groups)
    sums = torch.zeros(num_groups * num_groups).index_add(
        0, source * num_groups + target, weight.abs()
    )
    pair = torch.arange(len(sums))
    return pair // num_groups, pair % num_groups, sums


def _curves(source: Tensor, target: Tensor, placement: Placement) -> Tensor:
    """Points along every edge, ``[E, P, 2]``, from centre to centre; a self-loop is a circle."""
    start, end = placement.position[source], placement.position[target]
    along = end - start
    to_the_right = torch.stack([along[:, 1], -along[:, 0]], dim=1)
    control = (start + end) / 2 + _BEND * to_the_right
    t = torch.linspace(0, 1, _POINTS_PER_EDGE)[None, :, None]
    curves = (
        (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * control[:, None] + t**2 * end[:, None]
    )
    outward = placement.loop[source]
    across = torch.stack([outward[:, 1], -outward[:, 0]], dim=1)
    angle = 2 * pi * t
    loops = start[:, None] + (1 - torch.cos(angle)) * outward[:, None]
    loops = loops + torch.sin(angle) * across[:, None]
    return torch.where((source == target)[:, None, None], loops, curves)


def _set_limits(ax: Axes, placement: Placement) -> None:
    circles = placement.position.abs() + placement.radius[:, None]
    size = placement.loop.norm(dim=1, keepdim=True)
    loops = (placement.position + placement.loop).abs() + size
    reach = torch.maximum(circles, loops).amax(dim=0)
    half_width = max(float(reach[0]), HALF_HEIGHT) + 0.4
    ax.set_xlim(-half_width, half_width)
    half_height = max(float(reach[1]) + 0.1, HALF_HEIGHT + 0.5)
    ax.set_ylim(-half_height, half_height)
    ax.set_aspect("equal")
    ax.set_axis_off()
