from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyg_modules.report.edge_bands import edge_bands
from pyg_modules.report.html.chart import Chart, chart_paper, tooltip
from pyg_modules.report.html.numbers import count
from pyg_modules.structure.edge_record import EdgeRecord

_TOOLTIP = tooltip(
    "<b>epoch @epoch</b>: @num_edges{0,0} edges\n"
    "@num_stayed{0,0} there from the first\n"
    "@num_grown{0,0} grown now, @num_left{0,0} of them there still\n"
    "@num_pruned{0,0} pruned now"
)


def history_chart(history: Sequence[EdgeRecord]) -> Chart:
    """Draw what became of edges, epoch by epoch, as ``plot_edge_history`` does.

    Args:
        history (sequence of EdgeRecord): A record at least.
    """
    from bokeh.models import HoverTool

    borders, bands = edge_bands(history)
    left, right = borders[:-1], borders[1:]
    plot = chart_paper("epoch", "number of edges", x_range=(left[0], right[-1]))
    for _, color, low, high in bands:
        # The last epoch, too, is as wide as an epoch.
        low, high = (np.append(values, values[-1]) for values in (low, high))
        plot.varea_step(x=borders, y1=low, y2=high, step_mode="after", fill_color=color)
    data = dict(zip(EdgeRecord._fields, np.array(history).T, strict=True))
    data |= {"epoch": data["epoch"] + 1, "left": left, "right": right}
    data |= {"bottom": bands[-1].low, "top": data["num_edges"]}
    # The whole of an epoch tells its numbers, not each band by itself.
    whole = plot.quad(left="left", right="right", bottom="bottom", top="top", alpha=0, source=data)
    plot.add_tools(HoverTool(renderers=[whole], mode="vline", tooltips=_TOOLTIP))
    last = history[-1]
    return Chart(
        "edge-history",
        "Epoch by epoch: what is there, and below 0 what went",
        f"Numbers of edges by epoch: {count(history[0].num_edges)} edges in the first epoch,"
        f" {count(last.num_edges)} in the last one, {count(last.num_stayed)} of which were there"
        f" all along.",
        plot,
        {name: color for name, color, _, _ in bands},
        is_wide=True,
    )
