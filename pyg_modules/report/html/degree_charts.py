from __future__ import annotations

from typing import Any

import numpy as np

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.degree_bars import degree_bars
from pyg_modules.report.html.chart import Chart, chart_paper, tooltip
from pyg_modules.report.palette import CATEGORIES, GUIDE

_TOOLTIP = tooltip("<b>@degree edges</b>\nbefore: @before{0,0} units\nafter: @after{0,0} units")
_ENDS = {"in-degree": "into", "out-degree": "out of"}


def degree_charts(before: UnitGraph, after: UnitGraph) -> list[Chart]:
    """Draw how many edges lead into and out of hidden units, before and after.

    Args:
        before (UnitGraph): The graph as it was, with hidden units.
        after (UnitGraph): The graph of the same units as it is now.
    """
    from bokeh.models import HoverTool

    starts, (was, now) = degree_bars(before, after)
    ranges = [
        str(start) if end - start == 1 else f"{start}–{end - 1}"
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    charts = []
    for (name, end), color in zip(_ENDS.items(), CATEGORIES, strict=False):
        plot = chart_paper(f"number of edges {end} a hidden unit", "hidden units")
        data = {"left": starts[:-1] - 0.5, "right": starts[1:] - 0.5, "degree": ranges}
        data |= {"before": was[name].counts, "after": now[name].counts}
        sides: dict[str, Any] = {"left": "left", "right": "right", "bottom": 0, "source": data}
        bars = plot.quad(**sides, top="after", color=color, line_color="white", line_width=0.5)
        # A bar of no units would be a line on the axis.
        data["outline"] = np.where(was[name].counts, was[name].counts, np.nan)
        plot.quad(**sides, top="outline", fill_color=None, line_color=GUIDE, line_width=2)
        plot.add_tools(HoverTool(renderers=[bars], mode="vline", tooltips=_TOOLTIP))
        means = f"mean {was[name].mean:.1f} before, {now[name].mean:.1f} after"
        charts.append(
            Chart(
                f"edge-{name}",
                f"Edges {end} a hidden unit: {means}",
                f"Distribution of the number of edges {end} a hidden unit: {means}.",
                plot,
                {"before": GUIDE, "after": color},
            )
        )
    return charts
