from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn import SynchronousGraph
from pyg_modules.partition import check_labels
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_current
from pyg_modules.report.plots.weights import check_finite, hidden_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_adjacency(
    layer: SynchronousGraph,
    labels: Tensor | None = None,
    *,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the magnitudes of the weights between hidden units as a matrix, as the solver uses them.

    Args:
        layer (SynchronousGraph): The layer to look at.
        labels (LongTensor, optional): Module of every unit, ``[N]``. With labels, units are
            ordered by module, those that all modules share (−1) first, and lines part the modules;
            without, they keep the order of their ids.
        vmax (float, optional): Magnitude that is drawn darkest. (default: the largest)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as targets and columns as sources.

    Raises:
        ValueError: If a weight is not finite, or ``labels`` is not one module, or −1, per unit.
    """
    check_finite(layer.weight)
    ax = axes_or_current(ax)
    hidden = layer.graph.hidden
    magnitude = hidden_weights(layer).abs().float()
    if labels is not None:
        check_labels(labels, layer.graph.num_units)
        of_hidden = labels.cpu()[hidden.start : hidden.stop]
        order = torch.argsort(of_hidden, stable=True)
        magnitude = magnitude[order][:, order]
        # Units that all modules share, −1, come first.
        ends = torch.unique(torch.bincount(of_hidden + 1).cumsum(0))
        for end in ends[(ends > 0) & (ends < len(of_hidden))].tolist():
            ax.axhline(end - 0.5, color=CATEGORIES[0], linewidth=0.6)
            ax.axvline(end - 0.5, color=CATEGORIES[0], linewidth=0.6)
    ax.imshow(magnitude.numpy(), cmap="Greys", vmin=0, vmax=vmax, interpolation="nearest")
    ax.set_xlabel("source unit")
    ax.set_ylabel("target unit")
    return ax
