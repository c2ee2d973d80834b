from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

_FONT = "system-ui, sans-serif"


@dataclass(frozen=True)
class Chart:
    """A figure of the page that can be looked into.

    Args:
        key (str): Short and unique on the page.
        caption (str): What it shows.
        alt (str): The same for those who cannot see it.
        figure (bokeh.plotting.figure): What is drawn.
        legend (dict, optional): Colours by what they mean. (default: none)
        is_wide (bool, optional): Whether it takes the whole width of the page. (default: no)
    """

    key: str
    caption: str
    alt: str
    figure: Figure
    legend: dict[str, str]
    is_wide: bool = False


def paper(**settings: Any) -> Figure:
    """A figure that fills its box, and moves and zooms by tools that are chosen above it.

    Args:
        settings: Others of Bokeh's ``figure``.

    Raises:
        ImportError: If Bokeh is not installed.
    """
    from bokeh.plotting import figure

    plot = figure(
        sizing_mode="stretch_both",
        # A finger or a wheel moves the page until a tool is chosen.
        active_drag=None,
        active_scroll=None,
        toolbar_location="above",
        outline_line_color=None,
        **settings,
    )
    plot.toolbar.logo = None
    return plot


def chart_paper(x_label: str, y_label: str, **settings: Any) -> Figure:
    """Likewise, with axes of whole numbers that are named."""
    from bokeh.models import BasicTicker, NumeralTickFormatter

    plot = paper(
        tools="pan,box_zoom,wheel_zoom,reset",
        x_axis_label=x_label,
        y_axis_label=y_label,
        min_border_right=16,
        **settings,
    )
    plot.grid.visible = False
    for axis in plot.axis:
        axis.axis_label_text_font = axis.major_label_text_font = _FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = "#333333"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
        axis.ticker = BasicTicker(min_interval=1)
        axis.formatter = NumeralTickFormatter(format="0,0")
    return plot


def tooltip(text: str) -> str:
    """What a chart tells where it is pointed at, as HTML with the fields of Bokeh."""
    # Within the page, whether it stands to the left or to the right of what is pointed at.
    size = "padding: 2px; max-width: 42vw; white-space: pre-line"
    return f'<div style="font: 12px/1.4 {_FONT}; color: #1a1a1a; {size}">{text}</div>'
