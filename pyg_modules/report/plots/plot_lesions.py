from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.report.palette import SEQUENTIAL
from pyg_modules.report.plots.axes import add_colorbar, axes_or_empty, some_of
from pyg_modules.report.plots.cells import write_in_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More classes, and more modules, than these are not all named.
_MOST_NAMED, _MOST_NAMED_MODULES = 30, 16
_MISSING = "#DDDDDD"


def plot_lesions(study: LesionStudy, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracies of all modules, without each and of each alone, by class.

    Numbers are percent; the last column is the accuracy over all samples, and a class without
    samples is grey. Of a regression, they are R² by output; the last column is their mean, where
    there are several.

    Args:
        study (LesionStudy): What :func:`~pyg_modules.modules.lesion_study` returned.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as lesions and columns as classes or outputs.

    Raises:
        TypeError: If ``study`` is none.
    """
    if not isinstance(study, LesionStudy):
        raise TypeError(
            f"Expected a LesionStudy (got {type(study).__name__}). Make one: lesion_study(parts, x,"
            f" y)."
        )
    ax = axes_or_empty(ax)
    from matplotlib import colormaps

    num_modules, num_classes = study.only.shape
    scores = torch.cat([study.all[None], study.without, study.only]).double().cpu()
    samples = study.num_samples.double().cpu().where(~study.all.isnan().cpu(), 0.0)
    overall = (scores.nan_to_num() * samples).sum(dim=1, keepdim=True) / samples.sum()
    has_overall = num_classes > 1
    if has_overall:
        scores = torch.cat([scores, overall], dim=1)
    best = 1 if study.is_regression else 100
    shown = best * scores
    image = ax.imshow(
        shown.numpy(),
        cmap=colormaps[SEQUENTIAL].with_extremes(bad=_MISSING),
        vmin=0,
        vmax=best,
        aspect="auto",
        interpolation="nearest",
    )
    add_colorbar(image, "R²" if study.is_regression else "accuracy, %")
    named = some_of(num_modules, _MOST_NAMED_MODULES)
    rows = {0: "all"}
    rows |= {1 + module: f"without {module}" for module in named}
    rows |= {1 + num_modules + module: f"{module} alone" for module in named}
    for border in (0.5, num_modules + 0.5):
        ax.axhline(border, color="white", linewidth=2)
    if has_overall:
        ax.axvline(num_classes - 0.5, color="white", linewidth=2)
    ax.set_yticks([*rows], [*rows.values()], fontsize=7 if len(rows) <= 20 else 6)
    ticks = {place: str(place) for place in some_of(num_classes, _MOST_NAMED)}
    if has_overall:
        ticks[num_classes] = "mean" if study.is_regression else "all"
    ax.set_xticks([*ticks], [*ticks.values()], fontsize=8)
    ax.set_xlabel("output" if study.is_regression else "class")
    ax.set_ylabel("modules")
    write_in_cells(
        image,
        [[_written(value, study.is_regression) for value in row] for row in shown.tolist()],
    )
    return ax


def _written(value: float, is_regression: bool) -> str:
    if value != value:
        return "–"
    # R² has no lower bound.
    digits = 2 if is_regression and abs(value) < 10 else 0
    return f"{value:.{digits}f}".replace("-", "−")
