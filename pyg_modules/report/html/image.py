from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Sharp on screens of high density.
_DPI = 144
_CSS_DPI = 96
_HALF_WIDTH = 500


@dataclass(frozen=True)
class Image:
    """A figure of the page, or why there is none.

    Args:
        caption (str): What it shows.
        alt (str): The same for those who cannot see it.
        uri (str, optional): A PNG as a data URI.
        missing (str): Why there is none.
        width (int): In pixels of CSS.
        height (int): In pixels of CSS.
    """

    caption: str
    alt: str
    uri: str | None = None
    missing: str = ""
    width: int = 0
    height: int = 0

    @property
    def is_wide(self) -> bool:
        """Whether it takes the whole width of the page."""
        return self.width > _HALF_WIDTH


def image(
    draw: Callable[[Axes], object],
    caption: str,
    alt: str,
    size: tuple[float, float] = (4.8, 4.0),
) -> Image:
    """What ``draw`` draws; where it refuses with a ``ValueError``, what that says.

    Args:
        draw (Callable): Draws on the axes that it is given.
        caption (str): What the figure shows.
        alt (str): The same for those who cannot see it.
        size (tuple of float, optional): Width and height in inches. (default: 4.8 × 4)

    Returns:
        Image: The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    try:
        draw(figure.subplots())
    except ValueError as error:
        return Image(caption, alt, missing=str(error))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Image(
        caption,
        alt,
        uri=f"data:image/png;base64,{encoded}",
        width=round(size[0] * _CSS_DPI),
        height=round(size[1] * _CSS_DPI),
    )
