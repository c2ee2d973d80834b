from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.partition.labels import SHARED
from pyg_modules.report.html.groups import Group, unit_groups
from pyg_modules.report.html.layout import group_positions
from pyg_modules.report.html.partners import describe_partners, strongest_partners
from pyg_modules.report.palette import INPUT, NEGATIVE, OUTPUT, POSITIVE, module_color

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

# The script of the page finds the figure by its name.
_NAME = "unit_graph"
_MAX_EDGES = 500
_NUM_PARTNERS = 5
_RADIUS = 0.42
# How far an edge bends to its right, relative to its length: j -> i and i -> j stay apart.
_BEND = 0.12
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
        groups (list of Group): Inputs, modules and outputs, which can be switched on and off.
        colors (list of str): Their colours.
        num_shown (int): Number of edges that are drawn, the strongest ones.
        num_edges (int): Number of edges of the graph.
    """

    figure: Figure
    groups: list[Group]
    colors: list[str]
    num_shown: int
    num_edges: int


def interactive_graph(layer: SynchronousGraph, labels: Tensor) -> InteractiveGraph:
    """Draw the units of a layer by module, with the strongest of its edges, for a browser.

    A unit that is pointed at tells its strongest partners and their weights.

    Args:
        layer (SynchronousGraph): The layer to look at.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.

    Returns:
        InteractiveGraph: The figure, and what can be switched on and off in it.

    Raises:
        ImportError: If Bokeh is not installed.
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` is not one module, or −1, per unit.
    """
    from bokeh.models import DataRange1d, HoverTool
    from bokeh.plotting import figure

    graph = layer.graph
    groups = unit_groups(graph, labels)
    colors = [_color(group) for group in groups]
    weight = layer.weight.detach().cpu().float()
    position = torch.zeros(graph.num_units, 2)
    of_groups = group_positions(groups)
    for group, of_group in zip(groups, of_groups, strict=True):
        position[group.units] = of_group

    plot = figure(
        name=_NAME,
        sizing_mode="stretch_both",
        match_aspect=True,
        # Room for names above the uppermost units.
        x_range=DataRange1d(range_padding=0.04),
        y_range=DataRange1d(range_padding=0.2),
        tools="pan,wheel_zoom,reset",
        # A finger or a wheel moves the page until a tool is chosen.
        active_drag=None,
        active_scroll=None,
        toolbar_location="above",
        outline_line_color=None,
    )
    plot.toolbar.logo = None
    plot.axis.visible = False
    plot.grid.visible = False
    num_shown = _draw_edges(plot, graph, weight, groups, position)
    units = _draw_units(plot, graph, weight, labels.cpu(), groups, colors, position)
    plot.add_tools(HoverTool(renderers=units, tooltips=_TOOLTIPS))
    for group, of_group in zip(groups, of_groups, strict=True):
        # Names of the outermost groups grow inwards, so that a narrow figure holds them.
        align = {"input": "left", "hidden": "center", "output": "right"}[group.kind]
        left, right = float(of_group[:, 0].min()), float(of_group[:, 0].max())
        title = plot.text(
            x=[{"left": left, "center": (left + right) / 2, "right": right}[align]],
            y=[float(of_group[:, 1].max()) + 1.2],
            text=[group.name],
            text_align=align,
            background_fill_color="white",
            background_fill_alpha=0.75,
            text_font={"value": "system-ui, sans-serif"},
            text_font_size="12px",
            text_color="#333333",
        )
        title.tags = [group.key]
    return InteractiveGraph(plot, groups, colors, num_shown, graph.num_edges)


def _draw_edges(
    plot: Figure, graph: UnitGraph, weight: Tensor, groups: Sequence[Group], position: Tensor
) -> int:
    """Draw the strongest edges, a renderer for each pair of groups, and return their number."""
    strongest = torch.argsort(weight.abs(), descending=True, stable=True)[:_MAX_EDGES]
    if len(strongest) == 0:
        return 0
    of_unit = torch.zeros(graph.num_units, dtype=torch.long)
    for number, group in enumerate(groups):
        of_unit[group.units] = number
    # The strongest are drawn last, on top.
    strongest = strongest.flip(0)
    source, target = graph.edge_index[:, strongest]
    shown = weight[strongest]
    strength = shown.abs() / shown.abs().max().clamp(min=1e-30)
    start, control_start, control_end, end = _curves(position[source], position[target])
    columns = {
        "x0": start[:, 0],
        "y0": start[:, 1],
        "cx0": control_start[:, 0],
        "cy0": control_start[:, 1],
        "cx1": control_end[:, 0],
        "cy1": control_end[:, 1],
        "x1": end[:, 0],
        "y1": end[:, 1],
        "width": 0.4 + 1.8 * strength,
        "alpha": 0.2 + 0.6 * strength,
    }
    pair = of_unit[source] * len(groups) + of_unit[target]
    for number in sorted(set(pair.tolist())):
        inside = pair == number
        keys = [groups[number // len(groups)].key, groups[number % len(groups)].key]
        data: dict[str, Any] = {name: column[inside].numpy() for name, column in columns.items()}
        data["color"] = [POSITIVE if value >= 0 else NEGATIVE for value in shown[inside].tolist()]
        curves = plot.bezier(
            x0="x0",
            y0="y0",
            cx0="cx0",
            cy0="cy0",
            cx1="cx1",
            cy1="cy1",
            x1="x1",
            y1="y1",
            line_width="width",
            line_alpha="alpha",
            line_color="color",
            source=_source(data),
        )
        curves.tags = keys
    return len(strongest)


def _curves(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Start, two control points and end of every edge; a self-loop stands above its unit."""
    along = end - start
    to_the_right = torch.stack([along[:, 1], -along[:, 0]], dim=1) * _BEND
    control_start = start + along / 3 + to_the_right
    control_end = end - along / 3 + to_the_right
    is_loop = (along == 0).all(dim=1, keepdim=True)
    control_start = torch.where(is_loop, start + torch.tensor([-1.2, 1.5]), control_start)
    control_end = torch.where(is_loop, start + torch.tensor([1.2, 1.5]), control_end)
    return start, control_start, control_end, end


def _draw_units(
    plot: Figure,
    graph: UnitGraph,
    weight: Tensor,
    labels: Tensor,
    groups: Sequence[Group],
    colors: Sequence[str],
    position: Tensor,
) -> list[Any]:
    """Draw the units, a renderer for each group."""
    names = [f"input {unit}" for unit in graph.inputs]
    names += [f"unit {unit}" for unit in graph.hidden]
    names += [f"output {unit - graph.outputs.start}" for unit in graph.outputs]
    source, target = graph.edge_index
    incoming = strongest_partners(target, source, weight, _NUM_PARTNERS)
    outgoing = strongest_partners(source, target, weight, _NUM_PARTNERS)

    def partners(unit: int, edges: list[list[int]], others: Tensor) -> str:
        of_unit = edges[unit] if unit < len(edges) else []
        return describe_partners(of_unit, others, weight, names) or "nobody"

    renderers = []
    for group, color in zip(groups, colors, strict=True):
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
            radius=_RADIUS,
            fill_color=color,
            line_color="white",
            line_width=0.5,
            source=_source(data),
            name=group.key,
        )
        circles.tags = [group.key]
        renderers.append(circles)
    return renderers


def _color(group: Group) -> str:
    if group.kind == "hidden":
        return module_color(SHARED if group.module is None else group.module)
    return INPUT if group.kind == "input" else OUTPUT


def _source(data: dict[str, Any]) -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource(data)
