from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING

from pyg_modules.report.palette import CATEGORIES, GUIDE
from pyg_modules.report.plots.axes import (
    axes_or_empty,
    check_history,
    count_along,
    ink,
    legend_above,
)
from pyg_modules.train.epoch_record import EpochRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What the legend says of a phase, and how much of a colour shades it.
_PHASES = {
    "free": ("no regularizer", 0.0),
    "ramp": ("regularizer raised", 0.08),
    "full": ("regularizer on", 0.16),
    "cut": ("cut", 0.1),
}
# What a normalized cut of 0 may be below it, in runs of before.
_ROUNDING = 1e-6
# Of more losses than colours.
_LINES = ("-", "--", ":", "-.")
_LABELS = {
    "task": "task loss",
    "ncut": "soft normalized cut",
    "balance": "balance",
    "validation": "validation loss",
}


def plot_history(history: Sequence[EpochRecord], *, ax: Axes | None = None) -> Axes:
    """Draw the losses of a training, with its phases shaded.

    Args:
        history (sequence of EpochRecord): What :func:`~pyg_modules.train.fit` returned; of several
            trainings that follow each other, their sum.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with a logarithmic scale of losses, or a linear one where
        one is negative; a balance that is reached is far below the others, and off it.

    Raises:
        TypeError: If it has other records.
        ValueError: If the history is empty, a phase is none, or a loss is not finite.
    """
    check_history(history, EpochRecord, "what fit returned")
    for epoch, record in enumerate(history, start=1):
        if record.phase not in _PHASES:
            phases = ", ".join(map(repr, _PHASES))
            raise ValueError(
                f"Expected a phase of {phases} (got {record.phase!r} in epoch {epoch})."
                " Correct it; fit and organise set it."
            )
        if not all(map(isfinite, record.losses.values())):
            raise ValueError(
                f"Expected finite losses (got {record.losses} in epoch {epoch}): the training"
                f" diverged. Lower the learning rate."
            )
    ax = axes_or_empty(ax)
    from matplotlib.colors import to_rgba

    begin = 0
    for phase, records in groupby(history, key=lambda record: record.phase):
        end = begin + len(list(records))
        label, share = _PHASES[phase]
        shade = to_rgba(CATEGORIES[0] if phase == "cut" else ink(), share)
        ax.axvspan(begin + 0.5, end + 0.5, facecolor=shade, edgecolor=GUIDE, label=label, zorder=0)
        begin = end
    names = dict.fromkeys(name for record in history for name in record.losses)
    for number, name in enumerate(names):
        points = [
            (epoch, record.losses[name])
            for epoch, record in enumerate(history, start=1)
            if name in record.losses
        ]
        repetition, place = divmod(number, len(CATEGORIES))
        ax.plot(
            *zip(*points, strict=True),
            color=CATEGORIES[place],
            linestyle=_LINES[repetition % len(_LINES)],
            # A line of one point would not be seen.
            marker="o" if len(points) == 1 else "",
            # A legend leaves out what begins with an underscore.
            label=_LABELS.get(name, f" {name}" if name.startswith("_") else name),
        )
    if all(loss >= -_ROUNDING for record in history for loss in record.losses.values()):
        _draw_logarithms(ax, history)
    ax.set_xlim(0.5, len(history) + 0.5)
    count_along(ax.xaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean over its batches")
    legend_above(ax, 4)
    return ax


def _draw_logarithms(ax: Axes, history: Sequence[EpochRecord]) -> None:
    ax.set_yscale("log")
    shown = [
        loss
        for record in history
        for name, loss in record.losses.items()
        if name != "balance" and loss > 0
    ]
    if shown:
        ax.set_ylim(bottom=max(min(shown) / 2, ax.get_ylim()[0]))
