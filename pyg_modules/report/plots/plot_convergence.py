from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer
from pyg_modules.report.palette import CATEGORIES, NEGATIVE
from pyg_modules.report.plots.axes import axes_or_current, count_along
from pyg_modules.report.plots.weights import check_finite
from pyg_modules.solve.equilibrium import Equilibrium
from pyg_modules.solve.iteration import Iteration
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_convergence(layer: SynchronousGraph, x: Tensor, *, ax: Axes | None = None) -> Axes:
    r"""Draw how far the units still are from agreement after every update.

    .. math::
        \lVert F(h_t) - h_t \rVert / \lVert h_t \rVert, \qquad t = 1, 2, \dots

    on the way of the solver: Anderson's points for an :class:`~pyg_modules.Equilibrium` with
    ``memory``, where a sample that has converged keeps its residual; plain updates for every other
    solver, as many as it computes. What is below the rounding of the layer's dtype is drawn there.

    Args:
        layer (SynchronousGraph): The layer to look at.
        x (Tensor): Inputs, ``[*, I]``, at least one sample.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with the median of the samples and their range.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph``, or ``x`` not a tensor in its dtype.
        ValueError: If ``x`` has another number of inputs, or no sample, or a weight or an input is
            not finite.
    """
    check_layer(layer)
    check_finite(layer.weight)
    residuals = _residuals(layer, x)
    num_updates, num_samples = residuals.shape
    if num_samples == 0:
        raise ValueError(f"Expected at least one sample (got x of shape {list(x.shape)}).")
    if not bool(x.isfinite().all()):
        raise ValueError("Expected finite inputs (got NaN or infinity in x).")
    ax = axes_or_current(ax)
    shown = residuals.clamp(min=torch.finfo(layer.weight.dtype).eps).double().numpy()
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


@torch.no_grad()
def _residuals(layer: SynchronousGraph, x: Tensor) -> Tensor:
    """The residuals of all samples after every update, ``[T, B]``, on the CPU."""
    recorder = _Recorder(layer.solver)
    probe = layer.on_graph(layer.graph, recorder)
    # Scaled and masked already; the recorder does not scale.
    probe.weight.copy_(layer.scaled_weight())
    probe.bias.copy_(layer.bias)
    probe(x)
    return torch.stack(recorder.residuals).cpu()


@dataclass(frozen=True)
class _Recorder(Solver):
    """Goes the way of another solver, and keeps the residuals."""

    solver: Solver
    residuals: list[Tensor] = field(default_factory=list)

    def solve(self, recurrence: Recurrence) -> Solution:
        solver = self.solver
        if isinstance(solver, Equilibrium):
            tol, max_steps, memory = solver.tol, solver.max_steps, solver.memory
            contraction = 1.0 if solver.contraction is None else solver.contraction
        else:
            steps = torch.as_tensor(solver.solve(recurrence).steps)
            tol, max_steps, memory, contraction = -1.0, int(steps.max()), 0, 1.0
        update = _Update(recurrence)
        state = update(torch.zeros_like(recurrence.injected))
        iteration = Iteration(update, state, memory, contraction)
        for step in range(1, max_steps + 1):
            residual = iteration.evaluate()
            if self.residuals:
                previous = self.residuals[-1]
                residual = torch.where(previous <= tol, previous, residual)
            self.residuals.append(residual)
            if step == max_steps or bool((residual <= tol).all()):
                break
            iteration.advance()
        return Solution(iteration.state, len(self.residuals))


class _Update:
    """One synchronous update of all columns."""

    def __init__(self, recurrence: Recurrence) -> None:
        self._recurrence = recurrence
        self._update = recurrence.bind()

    def __call__(self, state: Tensor) -> Tensor:
        return self._update(state)

    def select(self, columns: Tensor) -> _Update:
        injected = self._recurrence.injected.index_select(1, columns)
        return _Update(replace(self._recurrence, injected=injected))
