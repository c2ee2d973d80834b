from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.report.palette import SEQUENTIAL
from pyg_modules.report.plots.axes import add_colorbar, axes_or_empty, name_below, some_of
from pyg_modules.report.plots.cells import write_in_cells
from pyg_modules.report.unit_names import check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More classes, and more modules, than these are not all named.
_MOST_NAMED, _MOST_NAMED_MODULES = 30, 16
_MISSING = "#DDDDDD"


def plot_lesions(
    study: LesionStudy, *, output_names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the accuracies of all modules, without each and of each alone, by class.

    Numbers are percent; the last column is the accuracy over all samples, and a class without
    samples is grey. Of a regression, they are R² by output; the last column is their mean, where
    there are several.

    Args:
        study (LesionStudy): What :func:`~pyg_modules.modules.lesion_study` returned.
        output_names (sequence of str, optional): Names of the classes, or of the outputs. (default:
            they are numbered)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with rows as lesions and columns as classes or outputs.

    Raises:
        TypeError: If ``study`` is none, or ``output_names`` are no strings.
        ValueError: If there are not as many ``output_names`` as classes.
    """
    if not isinstance(study, LesionStudy):
        raise TypeError(
            f"Expected a LesionStudy (got {type(study).__name__}). Make one: lesion_study(parts, x,"
            f" y)."
        )
    num_modules, num_classes = study.only.shape
    names = check_names("output_names", output_names, num_classes)
    names = names or [str(place) for place in range(num_classes)]
    ax = axes_or_empty(ax)
    from matplotlib import colormaps

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
    ticks = {place: names[place] for place in some_of(num_classes, _MOST_NAMED)}
    if has_overall:
        ticks[num_classes] = "mean" if study.is_regression else "all"
    name_below(ax, ticks, 8)
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
