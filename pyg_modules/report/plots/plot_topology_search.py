from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.axes import axes_or_empty, ink, legend_above
from pyg_modules.structure.search.topology_search import COSTS, TopologySearch, check_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {"parameters": "parameters, at most", "seconds": "seconds of the training"}


def plot_topology_search(
    search: TopologySearch, cost: str = "seconds", *, ax: Axes | None = None
) -> Axes:
    """Draw the scores of topologies against what they cost, with the Pareto front.

    Args:
        search (TopologySearch): What :func:`~pyg_modules.structure.search_topology` found. Trials
            that were pruned have no score, and are left out.
        cost (str, optional): ``"seconds"`` of the training, or ``"parameters"``. (default:
            ``"seconds"``)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with a colour per kind of graph.

    Raises:
        TypeError: If ``search`` is none.
        ValueError: If ``cost`` is none, or no trial has a score.
    """
    if not isinstance(search, TopologySearch):
        raise TypeError(
            f"Expected a TopologySearch (got {type(search).__name__})."
            " Make one: search_topology(train, space)."
        )
    cost_of = COSTS[check_cost(cost)]
    front = [(cost_of(trial), trial.score) for trial in search.front(cost)]
    if not front:
        raise ValueError("Expected a trial with a score (got none). Search on, with more trials.")
    ax = axes_or_empty(ax)
    for color, generator in zip(CATEGORIES, search.space.generators, strict=False):
        points = [
            (cost_of(trial), trial.score)
            for trial in search.trials
            if trial.topology.generator == generator and trial.score is not None
        ]
        if points:
            ax.plot(*zip(*points, strict=True), "o", color=color, label=generator)
    # From each to the next as a step: between them, the cheaper one is the best there is.
    ax.plot(
        *zip(*front, strict=True),
        drawstyle="steps-post",
        color=ink(),
        linewidth=1,
        label="Pareto front",
    )
    ax.set_xlabel(_LABELS[cost])
    ax.set_ylabel("score")
    legend_above(ax, 3)
    return ax
