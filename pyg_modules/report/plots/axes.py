from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def axes_or_current(ax: Axes | None) -> Axes:
    """``ax``, or the current axes of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def add_colorbar(image: AxesImage, label: str) -> None:
    """Say beside the axes of ``image`` what its colours mean."""
    figure = image.axes.figure
    assert figure is not None
    figure.colorbar(image, ax=image.axes, label=label)
