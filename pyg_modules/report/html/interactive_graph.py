from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.report.html.chart import paper
from pyg_modules.report.html.partners import describe_partners, strongest_partners
from pyg_modules.report.palette import NEGATIVE, POSITIVE
from pyg_modules.report.plots.weights import drawn_weights
from pyg_modules.report.unit_groups import UnitGroup, group_of_unit, unit_groups
from pyg_modules.report.unit_layout import UNIT_RADIUS, edge_curves, place_name, place_units
from pyg_modules.report.unit_names import UnitNames

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

# The script of the page finds the figure by its name.
_NAME = "unit_graph"
_MAX_EDGES = 500
_NUM_PARTNERS = 5
_PADDING_X, _PADDING_Y = 0.04, 0.2
_TOOLTIPS = """
<div style="font: 12px/1.4 system-ui, sans-serif; color: #1a1a1a; padding: 2px; max-width: 42vw">
  <b>@name</b><br>@kind, @group
  <div style="display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 4px; white-space: pre">
    <div><b>receives from</b><br>@receives</div>
    <div><b>sends to</b><br>@sends</div>
  </div>
</div>
"""


@dataclass(frozen=True)
class InteractiveGraph:
    """A unit graph to look into.

    Args:
        figure (bokeh.plotting.figure): Every renderer has as ``tags`` the keys of the groups that
            it belongs to, and is to be visible while all of them are switched on.
        groups (list of UnitGroup): Inputs, modules and outputs, which can be switched on and off.
        colors (list of str): Their colours.
        num_shown (int): Number of edges that are drawn, the strongest ones.
        num_edges (int): Number of edges whose weight is not 0.
        aspect (float): Width of what is drawn, as a multiple of its height.
    """

    figure: Figure
    groups: list[UnitGroup]
    colors: list[str]
    num_shown: int
    num_edges: int
    aspect: float


def interactive_graph(
    layer: UnitLayer, labels: Tensor, names: UnitNames | None = None
) -> InteractiveGraph:
    """Draw the units of a layer by module, with the strongest of its edges, for a browser.

    A unit that is pointed at tells its strongest partners and their weights, as the solver uses
    them; what a weight of 0 joins is no partner.

    Args:
        layer (UnitLayer): The layer to look at.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.
        names (UnitNames, optional): Of inputs and outputs. (default: they are numbered)

    Returns:
        InteractiveGraph: The figure, and what can be switched on and off in it.

    Raises:
        ImportError: If Bokeh is not installed.
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` is not one module, or −1, per unit.
    """
    from bokeh.models import DataRange1d, HoverTool

    graph = layer.graph
    groups = unit_groups(graph, labels)
    weight = drawn_weights(layer).float()
    position, radius = place_units(groups)
    plot = paper(
        name=_NAME,
        match_aspect=True,
        # Room for names above the uppermost units.
        x_range=DataRange1d(range_padding=_PADDING_X),
        y_range=DataRange1d(range_padding=_PADDING_Y),
        tools="pan,wheel_zoom,reset",
    )
    plot.axis.visible = False
    plot.grid.visible = False
    num_edges = int(weight.count_nonzero())
    num_shown = min(num_edges, _MAX_EDGES)
    _draw_edges(plot, graph, weight, num_shown, groups, position, radius)
    of_units = (names or UnitNames()).of_units(graph)
    units = _draw_units(plot, graph, weight, labels.cpu(), groups, position, of_units)
    plot.add_tools(HoverTool(renderers=units, tooltips=_TOOLTIPS))
    for group in groups:
        x, y, align = place_name(group, position, radius)
        name = plot.text(
            x=[x],
            y=[y],
            text=[group.name],
            text_align=align,
            background_fill_color="white",
            background_fill_alpha=0.75,
            text_font={"value": "system-ui, sans-serif"},
            text_font_size="12px",
            text_color="#333333",
        )
        name.tags = [group.key]
    width, height = (
        float((position[:, axis] + radius).max() - (position[:, axis] - radius).min())
        for axis in (0, 1)
    )
    return InteractiveGraph(
        plot,
        groups,
        [group.color for group in groups],
        num_shown,
        num_edges,
        aspect=round(width * (1 + _PADDING_X) / (height * (1 + _PADDING_Y)), 3),
    )


def _draw_edges(
    plot: Figure,
    graph: UnitGraph,
    weight: Tensor,
    number: int,
    groups: Sequence[UnitGroup],
    position: Tensor,
    radius: Tensor,
) -> None:
    """Draw so many of the strongest edges, a renderer for each pair of groups."""
    # The strongest are drawn last, on top.
    drawn = torch.argsort(weight.abs(), descending=True, stable=True)[:number].flip(0)
    source, target = graph.edge_index[:, drawn]
    shown = weight[drawn]
    strength = shown.abs() / shown[-1:].abs()
    curves = edge_curves(position[source], position[target], radius[source])
    names = ("x0", "y0", "cx0", "cy0", "cx1", "cy1", "x1", "y1")
    columns = dict(zip(names, curves.mT.flatten(0, 1), strict=True))
    columns |= {"line_width": 0.4 + 1.8 * strength, "line_alpha": 0.2 + 0.6 * strength}
    place = group_of_unit(groups)
    pair = place[source] * len(groups) + place[target]
    for one in torch.unique(pair).tolist():
        inside = pair == one
        data: dict[str, Any] = {name: column[inside].numpy() for name, column in columns.items()}
        data["color"] = [POSITIVE if value > 0 else NEGATIVE for value in shown[inside].tolist()]
        lines = plot.bezier(**{name: name for name in columns}, line_color="color", source=data)
        lines.tags = [groups[one // len(groups)].key, groups[one % len(groups)].key]


def _draw_units(
    plot: Figure,
    graph: UnitGraph,
    weight: Tensor,
    labels: Tensor,
    groups: Sequence[UnitGroup],
    position: Tensor,
    names: Sequence[str],
) -> list[Any]:
    """Draw the units, a renderer for each group."""
    source, target = graph.edge_index
    incoming = strongest_partners(target, source, weight, _NUM_PARTNERS)
    outgoing = strongest_partners(source, target, weight, _NUM_PARTNERS)

    def partners(unit: int, edges: list[list[int]], others: Tensor) -> str:
        of_unit = edges[unit] if unit < len(edges) else []
        return describe_partners(of_unit, others, weight, names) or "nobody"

    renderers = []
    for group in groups:
        units = group.units.tolist()
        of_units = labels[group.units].tolist()
        data = {
            "x": position[group.units, 0].numpy(),
            "y": position[group.units, 1].numpy(),
            "id": units,
            "name": [
                names[unit] if group.kind == "hidden" else f"{names[unit]} (unit {unit})"
                for unit in units
            ],
            "kind": [group.kind] * len(units),
            "group": [f"module {label}" if label >= 0 else "all modules" for label in of_units],
            "receives": [partners(unit, incoming, source) for unit in units],
            "sends": [partners(unit, outgoing, target) for unit in units],
        }
        circles = plot.circle(
            x="x",
            y="y",
            radius=UNIT_RADIUS,
            fill_color=group.color,
            line_color="white",
            line_width=0.5,
            source=data,
            name=group.key,
        )
        circles.tags = [group.key]
        renderers.append(circles)
    return renderers
