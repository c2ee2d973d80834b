from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.units import check_finite
from pyg_modules.report.palette import CATEGORIES, GUIDE, NEGATIVE
from pyg_modules.report.plots.axes import axes_or_empty, ink
from pyg_modules.report.plots.weights import check_hidden, hidden_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_spectrum(layer: UnitLayer, *, ax: Axes | None = None) -> Axes:
    """Draw the eigenvalues of the weights between hidden units in the complex plane.

    The weights are those that the solver uses. The legend has the spectral radius, the largest
    magnitude of an eigenvalue, and the spectral norm, the largest singular value, which is also the
    radius of a circle: a norm below 1 makes the update a contraction, if the slope of the
    activation is at most 1.

    Args:
        layer (UnitLayer): The layer to look at; the matrix is dense, ``[H, H]``.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with the eigenvalues, the unit circle and the norm.

    Raises:
        TypeError: If ``layer`` is no layer of units, or has more than a weight per edge.
        ValueError: If the layer has no hidden unit, or a weight is not finite.
    """
    check_layer(layer)
    if layer.row_shape:
        raise TypeError(
            f"Expected a layer with one weight per edge (got a {type(layer).__name__}, whose edges"
            f" have several): its weights are no matrix with eigenvalues. Use plot_convergence."
        )
    check_hidden(layer)
    weight = hidden_weights(layer)
    check_finite(weight)
    matrix = weight.double().numpy()
    eigenvalues = numpy.linalg.eigvals(matrix)
    radius, norm = float(numpy.abs(eigenvalues).max()), float(numpy.linalg.norm(matrix, 2))
    ax = axes_or_empty(ax)
    ax.axhline(0, color=GUIDE, linewidth=0.5, zorder=0)
    ax.axvline(0, color=GUIDE, linewidth=0.5, zorder=0)
    angle = numpy.linspace(0, 2 * numpy.pi, 181)
    for size, color, style, label in (
        (1.0, ink(), "-", "unit circle"),
        (norm, NEGATIVE, "--", f"spectral norm {norm:.3g}"),
    ):
        x, y = size * numpy.cos(angle), size * numpy.sin(angle)
        ax.plot(x, y, color=color, linestyle=style, linewidth=1, label=label)
    ax.scatter(
        eigenvalues.real,
        eigenvalues.imag,
        s=12,
        color=CATEGORIES[0],
        alpha=0.7,
        linewidths=0,
        zorder=3,
        label=f"eigenvalues, spectral radius {radius:.3g}",
    )
    reach = 1.1 * max(1.0, norm)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, 1.6 * reach)  # Room for the legend.
    ax.set_aspect("equal")
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    ax.legend(loc="upper center", fontsize=8, framealpha=1)
    return ax
