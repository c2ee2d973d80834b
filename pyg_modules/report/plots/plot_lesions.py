from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.report.palette import SEQUENTIAL
from pyg_modules.report.plots.axes import add_colorbar, axes_or_current
from pyg_modules.report.plots.cells import write_in_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More classes than these are not all named.
_MOST_NAMED = 30
_MISSING = "#DDDDDD"


def plot_lesions(study: LesionStudy, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracies of all modules, without each and of each alone, by class.

    Numbers are percent; the last column is the accuracy over all samples, and a class without
    samples is grey.

    Args:
        study (LesionStudy): What :func:`~pyg_modules.modules.lesion_study` returned.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current one of pyplot)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as lesions and columns as classes.

    Raises:
        TypeError: If ``study`` is none.
    """
    if not isinstance(study, LesionStudy):
        raise TypeError(
            f"Expected a LesionStudy (got {type(study).__name__}). Make one: lesion_study(parts, x,"
            f" y)."
        )
    ax = axes_or_current(ax)
    from matplotlib import colormaps

    num_modules, num_classes = study.only.shape
    accuracy = torch.cat([study.all[None], study.without, study.only]).double().cpu()
    num_samples = study.num_samples.double().cpu()
    overall = (accuracy.nan_to_num() * num_samples).sum(dim=1, keepdim=True) / num_samples.sum()
    percent = 100 * torch.cat([accuracy, overall], dim=1)
    image = ax.imshow(
        percent.numpy(),
        cmap=colormaps[SEQUENTIAL].with_extremes(bad=_MISSING),
        vmin=0,
        vmax=100,
        aspect="auto",
        interpolation="nearest",
    )
    add_colorbar(image, "accuracy, %")
    rows = [
        "all",
        *(f"without {module}" for module in range(num_modules)),
        *(f"{module} alone" for module in range(num_modules)),
    ]
    for border in (0.5, num_modules + 0.5):
        ax.axhline(border, color="white", linewidth=2)
    ax.axvline(num_classes - 0.5, color="white", linewidth=2)
    ax.set_yticks(range(len(rows)), rows, fontsize=7 if len(rows) <= 20 else 6)
    step = -(-num_classes // _MOST_NAMED)
    classes = list(range(0, num_classes, step))
    ax.set_xticks([*classes, num_classes], [*map(str, classes), "all"], fontsize=8)
    ax.set_xlabel("class")
    ax.set_ylabel("modules")
    write_in_cells(
        image,
        [["–" if value != value else f"{value:.0f}" for value in row] for row in percent.tolist()],
    )
    return ax
