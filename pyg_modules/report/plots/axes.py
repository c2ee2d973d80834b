from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyg_modules._brief import brief

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.image import AxesImage

#: Characters of a name; longer ones are shortened.
_LONGEST = 20


def axes_or_empty(ax: Axes | None) -> Axes:
    """``ax``, or the current ones of pyplot if nothing is drawn on them, or those of a new figure.

    So two in one cell are not drawn over each other.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If ``ax`` is none.
    """
    try:
        import matplotlib.axes
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Figures need matplotlib: pip install 'pyg-modules[report]'") from error
    if ax is not None:
        if not isinstance(ax, matplotlib.axes.Axes):
            raise TypeError(
                f"Expected ax to be axes of matplotlib (got {brief(ax)}). Use one of"
                f" pyplot.subplots(), or leave it out."
            )
        return ax
    if pyplot.get_fignums() and not (pyplot.gcf().axes and pyplot.gca().has_data()):
        return pyplot.gca()
    return pyplot.subplots()[1]


def check_history(history: object, kind: type, source: str) -> None:
    """Raise unless ``history`` is a sequence of records of a ``kind``, what ``source`` has.

    Raises:
        TypeError: If it is something else.
        ValueError: If it is empty.
    """
    records = history if isinstance(history, list | tuple) else [history]
    if isinstance(history, kind) or not all(isinstance(record, kind) for record in records):
        raise TypeError(
            f"Expected a sequence of {kind.__name__} (got {brief(history)}). Use {source}."
        )
    if not records:
        raise ValueError("Expected a record at least (got an empty history). Train an epoch.")


def ink() -> Any:
    """The colour of text in matplotlib's style, which stands out from :func:`paper`."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def paper() -> Any:
    """The colour behind what is drawn in matplotlib's style."""
    from matplotlib import rcParams

    return rcParams["axes.facecolor"]


def add_colorbar(image: AxesImage, label: str) -> None:
    """Say beside the axes of ``image`` what its colours mean."""
    figure = image.axes.figure
    assert figure is not None
    figure.colorbar(image, ax=image.axes, label=label)


def some_of(number: int, most: int) -> range:
    """The first of so many places and others at equal distances, ``most`` of them or fewer."""
    return range(0, number, -(-number // most))


def count_along(axis: Axis, most: int | None = None) -> None:
    """Ticks at whole numbers alone, ``most`` intervals of them if it is given."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True))


def name_below(ax: Axes, names: Mapping[int, str], font_size: float) -> None:
    """Name places below the axes, upwards where names would not stand beside each other."""
    shown = [
        name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names.values()
    ]
    figure, (low, high) = ax.figure, ax.get_xlim()
    assert figure is not None
    points = ax.get_window_extent().width * 72 / figure.dpi
    closest = min((after - place for place, after in pairwise(names)), default=high - low)
    # Characters are about 0.6 of the size wide; one more keeps names apart.
    needed = 0.6 * font_size * (max(map(len, shown)) + 1)
    ax.set_xticks(
        [*names],
        shown,
        fontsize=font_size,
        rotation=90 if needed > points * closest / (high - low) else 0,
        parse_math=False,  # Names are those of users.
    )


def legend_above(ax: Axes, num_columns: int, handles: Sequence[Artist] | None = None) -> None:
    """Say above the axes, where nothing is drawn, what ``handles`` or all that is drawn means."""
    which: dict[str, Any] = {} if handles is None else {"handles": handles}
    legend = ax.legend(
        **which,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=num_columns,
        frameon=False,
        fontsize="small",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # Names are those of users.
