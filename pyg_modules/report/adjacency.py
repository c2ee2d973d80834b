from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn import SynchronousGraph
from pyg_modules.partition import check_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_adjacency(
    layer: SynchronousGraph,
    labels: Tensor | None = None,
    *,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the magnitudes of the weights between hidden units as a matrix.

    Args:
        layer (SynchronousGraph): The layer to look at.
        labels (LongTensor, optional): Module of every unit, ``[N]``. With labels, units are
            ordered by module and lines part the modules; without, they keep the order of their
            ids.
        vmax (float, optional): Magnitude that is drawn darkest. (default: the largest)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as targets and columns as sources.
    """
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.gca()
    hidden = layer.graph.hidden
    magnitude = _hidden_magnitudes(layer)
    if labels is not None:
        check_labels(labels, layer.graph.num_units)
        of_hidden = labels.cpu()[hidden.start : hidden.stop]
        order = torch.argsort(of_hidden, stable=True)
        magnitude = magnitude[order][:, order]
        for end in torch.bincount(of_hidden[of_hidden >= 0]).cumsum(0)[:-1].tolist():
            ax.axhline(end - 0.5, color="tab:blue", linewidth=0.6)
            ax.axvline(end - 0.5, color="tab:blue", linewidth=0.6)
    ax.imshow(magnitude.numpy(), cmap="Greys", vmin=0, vmax=vmax, interpolation="nearest")
    ax.set_xlabel("source unit")
    ax.set_ylabel("target unit")
    return ax


def _hidden_magnitudes(layer: SynchronousGraph) -> Tensor:
    """The dense matrix ``|w_ij|`` from hidden unit j to hidden unit i, ``[H, H]``."""
    graph = layer.graph
    source, target = graph.edge_index - graph.num_inputs
    inside = (source >= 0) & (target >= 0)
    inside &= (source < graph.num_hidden) & (target < graph.num_hidden)
    magnitude = torch.zeros(graph.num_hidden, graph.num_hidden)
    magnitude[target[inside], source[inside]] = layer.weight.detach().cpu().float()[inside].abs()
    return magnitude
