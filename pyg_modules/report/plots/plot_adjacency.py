from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.labels import read_labels
from pyg_modules.partition.units import check_finite
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_empty, count_along, some_of
from pyg_modules.report.plots.weights import check_hidden, hidden_weights
from pyg_modules.report.squares import largest_in_squares

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# More modules than these are not all named.
_MOST_NAMED = 16


def plot_adjacency(
    layer: UnitLayer,
    labels: Tensor | None = None,
    *,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the magnitudes of the weights between hidden units as a matrix, as the solver uses them.

    Of more than 256 hidden units, a square shows the largest of several weights.

    Args:
        layer (UnitLayer): The layer to look at.
        labels (LongTensor, optional): Module of every unit, ``[N]``. With labels, units are
            ordered by module, those that all modules share (−1) first, lines part the modules and
            the axes name them; without, they keep the order of their ids, which the axes name.
        vmax (float, optional): Magnitude that is drawn darkest. (default: the largest)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as targets and columns as sources.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph``, or ``labels`` not an integer tensor.
        ValueError: If the layer has no hidden unit, a weight is not finite, ``labels`` is not one
            module, or −1, per unit, or ``vmax`` is not positive.
    """
    check_layer(layer)
    check_hidden(layer)
    check_finite(layer.edge_weight())
    if labels is not None:
        labels, _ = read_labels(labels, layer.graph.num_units)
    if vmax is not None and not vmax > 0:
        raise ValueError(
            f"Expected vmax > 0, the magnitude that is drawn darkest (got {vmax:g}). Leave it out"
            f" for the largest."
        )
    ax = axes_or_empty(ax)
    hidden = layer.graph.hidden
    magnitude = hidden_weights(layer).abs().float()
    begin = hidden.start - 0.5 if labels is None else -0.5
    end = begin + len(hidden)
    if labels is not None:
        of_hidden = labels.cpu()[hidden.start : hidden.stop]
        order = torch.argsort(of_hidden, stable=True)
        magnitude = magnitude[order][:, order]
    largest, (beyond, _) = largest_in_squares(magnitude.numpy())
    ax.imshow(
        largest,
        cmap="Greys",
        vmin=0,
        vmax=vmax,
        interpolation="nearest",
        extent=(begin, begin + beyond, begin + beyond, begin),
    )
    ax.set(xlim=(begin, end), ylim=(end, begin))
    if labels is None:
        name_units(ax)
    else:
        name_modules(ax, of_hidden)
    return ax


def name_units(ax: Axes) -> None:
    """Say at the sides of a matrix that rows and columns are units."""
    for axis, name in ((ax.xaxis, "source unit"), (ax.yaxis, "target unit")):
        count_along(axis, most=5)
        axis.set_label_text(name)


def name_modules(ax: Axes, of_hidden: Tensor) -> None:
    """Lines between modules, and the number of each in the middle of its units."""
    borders, centres, names = module_ticks(of_hidden)
    for border in borders:
        ax.axhline(border, color=CATEGORIES[0], linewidth=0.6)
        ax.axvline(border, color=CATEGORIES[0], linewidth=0.6)
    for axis, name in ((ax.xaxis, "module of source unit"), (ax.yaxis, "module of target unit")):
        axis.set_ticks(centres, names)
        axis.set_label_text(name)


def module_ticks(of_hidden: Tensor) -> tuple[list[float], list[float], list[str]]:
    """Where modules are among units that are ordered by them: borders, and centres with names.

    Args:
        of_hidden (LongTensor): Module of every hidden unit, in any order, −1 for shared ones.
    """
    # Units that all modules share, −1, come first.
    modules, sizes = torch.unique(of_hidden + 1, return_counts=True)
    ends = sizes.cumsum(0)
    names = ["shared" if module == 0 else str(module - 1) for module in modules.tolist()]
    centres = (ends - sizes / 2 - 0.5).tolist()
    named = some_of(len(names), _MOST_NAMED)
    return (ends[:-1] - 0.5).tolist(), [centres[i] for i in named], [names[i] for i in named]
