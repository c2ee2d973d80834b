from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

_LARGEST, _SMALLEST = 9.0, 5.0


def write_in_cells(image: AxesImage, texts: Sequence[Sequence[str]]) -> None:
    """Write a text into every cell of a matrix, ``[rows][columns]``, unless cells are too small."""
    ax = image.axes
    rows, columns = len(texts), len(texts[0])
    box = ax.get_window_extent()
    figure, values = ax.figure, image.get_array()
    assert figure is not None
    assert values is not None
    points = 72 / figure.dpi
    width, height = box.width * points / columns, box.height * points / rows
    longest = max(len(text) for row in texts for text in row)
    # Characters are about 0.6 of the size wide; one more keeps the borders free.
    size = min(_LARGEST, 0.7 * height, width / (0.6 * (longest + 1)))
    if size < _SMALLEST:
        return
    red, green, blue = numpy.asarray(image.cmap(image.norm(values)))[..., :3].T
    is_dark = (0.3 * red + 0.59 * green + 0.11 * blue < 0.5).T
    for row, in_row in enumerate(texts):
        for column, text in enumerate(in_row):
            color = "white" if is_dark[row, column] else "black"
            ax.text(column, row, text, color=color, fontsize=size, ha="center", va="center")
