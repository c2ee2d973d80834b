from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.edge_bins import KINDS, bin_edges
from pyg_modules.report.html.chart import Chart, chart_paper, tooltip
from pyg_modules.report.html.numbers import count
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.plot_adjacency import module_ticks

_ONE = tooltip("<b>unit @source → unit @target</b>\n{kinds}")
_SEVERAL = tooltip(
    "<b>edges from {width} units to {width}</b>\nfrom unit @source on, to unit @target on\n{kinds}"
)
_NUMBERS = "@kept{0,0} kept, @removed{0,0} removed, @added{0,0} added"
# Which edges there are.
_SHOWN = {"before": ("kept", "removed"), "after": ("kept", "added")}


def rewiring_charts(
    before: UnitGraph, after: UnitGraph, labels: Tensor | None = None
) -> list[Chart]:
    """Draw the edges between hidden units before and after as two matrices that move together.

    Args:
        before (UnitGraph): The graph as it was, with hidden units.
        after (UnitGraph): The graph of the same units as it is now.
        labels (LongTensor, optional): Module of every unit, ``[N]``, which the units are ordered
            by. (default: by their ids)
    """
    from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d

    bins = bin_edges(before, after, labels)
    begin = (before.hidden.start if labels is None else 0) - 0.5
    end = begin + before.num_hidden
    side = bins.width * len(bins.counts["kept"])
    first_units = bins.units[:: bins.width].numpy()
    target, source = np.meshgrid(first_units, first_units, indexing="ij")
    columns = {**bins.counts, "source": source, "target": target}
    data = {name: [_compact(values)] for name, values in columns.items()}
    data |= {when: [_rgba(bins.rgb(kinds))] for when, kinds in _SHOWN.items()}
    shared = ColumnDataSource({**data, "x": [begin], "y": [begin], "side": [side]})
    # Rows are counted from above. What is shown in one matrix is shown in the other.
    across, down = Range1d(start=begin, end=end), Range1d(start=end, end=begin)
    what = "" if labels is None else "module of "
    template = _ONE if bins.width == 1 else _SEVERAL
    text = template.replace("{width}", str(bins.width)).replace("{kinds}", _NUMBERS)
    charts = []
    for when, kinds in _SHOWN.items():
        names = f"{what}source unit", f"{what}target unit"
        plot = chart_paper(*names, x_range=across, y_range=down)
        image = plot.image_rgba(
            image=when, x="x", y="y", dw="side", dh="side", source=shared, level="image"
        )
        plot.add_tools(HoverTool(renderers=[image], tooltips=text))
        if labels is not None:
            borders, centres, modules = module_ticks(labels.cpu()[bins.units])
            plot.vspan(x=borders, color=CATEGORIES[0], line_width=0.6)
            plot.hspan(y=borders, color=CATEGORIES[0], line_width=0.6)
            for axis in plot.axis:
                axis.ticker = FixedTicker(ticks=centres)
                axis.major_label_overrides = dict(zip(centres, modules, strict=True))
        number = {kind: count(int(bins.counts[kind].sum())) for kind in kinds}
        told = " and ".join(f"{number} {kind}" for kind, number in number.items())
        charts.append(
            Chart(
                f"edges-{when}",
                f"Edges between hidden units {when}: {told}",
                f"Matrix of the edges between hidden units {when} the training: {told}.",
                plot,
                {kind: KINDS[kind] for kind in kinds},
            )
        )
    return charts


def _compact(values: Ints) -> npt.NDArray[Any]:
    """The same numbers in as few bytes as the page can read."""
    for kind in (np.uint8, np.uint16):
        if values.max(initial=0) <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.uint32)


def _rgba(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Colours as Bokeh has them, ``[rows, columns]``."""
    opaque = np.full_like(rgb[..., :1], 255)
    return np.concatenate([rgb, opaque], axis=-1).view(np.uint32)[..., 0]
