from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.labels import read_labels
from pyg_modules.partition.metrics import module_costs, module_sizes
from pyg_modules.report.palette import GUIDE, module_color
from pyg_modules.report.plots.axes import axes_or_empty, ink, paper, some_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_WIDTH = 0.4
# More numbers than these would overlap.
_MOST_HORIZONTAL, _MOST_NUMBERED, _MOST_NAMED = 4, 16, 20


def plot_module_sizes(
    layer: UnitLayer, labels: Tensor | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw how many units each module has, and how many edges the cut leaves it.

    Bars are shares of all modules, numbers are counts: :func:`~pyg_modules.partition.module_sizes`
    and :func:`~pyg_modules.partition.module_costs`. A dashed line marks equal shares. Edges
    between shared units belong to no module.

    Args:
        layer (UnitLayer): The layer to look at, before or after the cut.
        labels (LongTensor, optional): Module of every unit, ``[N]``, −1 for units that all modules
            share. (default: those of a cut layer)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with two bars for each module.

    Raises:
        TypeError: If ``layer`` is no layer of units, or ``labels`` not an integer tensor.
        ValueError: If ``labels`` has the wrong length, a gap or no module, or is left out though
            the layer is not cut.
    """
    check_layer(layer)
    if labels is None:
        labels = layer.labels
    if labels is None:
        raise ValueError(
            "Expected labels of a layer that is not cut (got none). Give some, e.g."
            " partition_units(layer, num_modules)."
        )
    labels, num_modules = read_labels(labels, layer.graph.num_units)
    if num_modules == 0:
        raise ValueError(
            "Expected at least one module in labels (got only shared units)."
            " Give hidden units the number of their module, from 0."
        )
    ax = axes_or_empty(ax)
    from matplotlib.patches import Patch

    counts = {
        "units": module_sizes(labels),
        "edges of modules": module_costs(layer.graph.edge_index, labels),
    }
    modules = numpy.arange(num_modules)
    colors = [module_color(module) for module in range(num_modules)]
    handles: list[Artist] = []
    for (name, values), offset, hatch in zip(
        counts.items(), (-_WIDTH / 2, _WIDTH / 2), ("", "////"), strict=True
    ):
        shares = [100 * value / max(1, sum(values)) for value in values]
        bars = ax.bar(
            modules + offset,
            shares,
            _WIDTH,
            color=colors,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
        )
        label = f"{name} ({sum(values):,})"
        handles.append(Patch(facecolor=GUIDE, edgecolor="white", hatch=hatch, label=label))
        if num_modules <= _MOST_NUMBERED:
            is_vertical = num_modules > _MOST_HORIZONTAL
            ax.bar_label(
                bars,
                [f"{value:,}" for value in values],
                rotation=90 if is_vertical else 0,
                padding=2,
                fontsize=7,
                # Above the line of equal shares.
                bbox={"facecolor": paper(), "linewidth": 0, "pad": 0.5},
            )
    handles.append(
        ax.axhline(100 / num_modules, color=ink(), ls="--", lw=0.8, label="equal shares")
    )
    # Room for the numbers above the bars, and for the legend above these.
    ax.margins(y=0.35)
    ax.set_xticks(some_of(num_modules, _MOST_NAMED))
    ax.set_xlabel("module")
    ax.set_ylabel("share of all modules, %")
    ax.legend(handles=handles, loc="upper center", ncols=2, fontsize=8, frameon=False)
    return ax
