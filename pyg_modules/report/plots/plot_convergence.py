from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_modules.nn.evaluating import evaluating
from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.units import check_finite
from pyg_modules.report.palette import CATEGORIES, NEGATIVE
from pyg_modules.report.plots.axes import axes_or_empty, count_along
from pyg_modules.solve.equilibrium import Equilibrium

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_convergence(
    layer: UnitLayer, x: Tensor, *others: Any, ax: Axes | None = None, **named: Any
) -> Axes:
    r"""Draw how far the units still are from agreement after every update.

    .. math::
        \lVert F(h_t) - h_t \rVert / \lVert h_t \rVert, \qquad t = 1, 2, \dots

    on the way of the solver: Anderson's points for an :class:`~pyg_modules.Equilibrium` with
    ``memory``, where a sample that has converged keeps its residual; plain updates for an
    :class:`~pyg_modules.Unrolled`. What is below the rounding of the layer's dtype is drawn there.

    Args:
        layer (UnitLayer): The layer to look at.
        x (Tensor): Inputs, ``[*, I]``, at least one sample.
        *others: What the layer takes beside ``x``.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)
        **named: What the layer takes by name, as ``edge_weight`` of a ``SynchronousConv``.

    Returns:
        matplotlib.axes.Axes: The axes, with the median of the samples and their range.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph``, or ``x`` not a tensor in its dtype.
        ValueError: If ``x`` has another number of inputs, or no sample, or a weight or an input is
            not finite.
    """
    check_layer(layer)
    check_finite(layer.edge_weight())
    observed: list[Tensor] = []
    with evaluating(layer), torch.no_grad():
        layer.solve(x, *others, **named, observe=observed.append)
    residuals = torch.stack(observed).cpu()
    num_updates, num_samples = residuals.shape
    if num_samples == 0:
        raise ValueError(
            f"Expected at least one sample (got x of shape {list(x.shape)}). Give some."
        )
    if not bool(x.isfinite().all()):
        raise ValueError(
            "Expected finite inputs (got NaN or infinity in x)."
            " Fill them, or leave such samples out."
        )
    ax = axes_or_empty(ax)
    shown = residuals.clamp(min=torch.finfo(layer.dtype).eps).double().numpy()
    updates = range(1, num_updates + 1)
    color = CATEGORIES[0]
    marker = "o" if num_updates <= 30 else ""
    ax.fill_between(
        updates, shown.min(axis=1), shown.max(axis=1), color=color, alpha=0.25, lw=0, label="range"
    )
    name = f"median of {num_samples:,} sample{'s' if num_samples > 1 else ''}"
    middle = torch.from_numpy(shown).quantile(0.5, dim=1).numpy()
    ax.plot(updates, middle, color=color, marker=marker, markersize=3, label=name)
    if isinstance(layer.solver, Equilibrium):
        tol = layer.solver.tol
        ax.axhline(tol, color=NEGATIVE, linestyle="--", linewidth=1, label=f"tolerance {tol:g}")
    ax.set_yscale("log")
    count_along(ax.xaxis)
    ax.set_xlabel("update")
    ax.set_ylabel(r"relative residual $\Vert F(h) - h \Vert \,/\, \Vert h \Vert$")
    ax.legend(fontsize=8)
    return ax
