from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from numbers import Integral
from typing import TYPE_CHECKING

from torch import Tensor

from pyg_modules._brief import brief
from pyg_modules.report.palette import SEQUENTIAL
from pyg_modules.report.plots.axes import (
    add_colorbar,
    axes_or_empty,
    count_along,
    name_below,
    some_of,
)
from pyg_modules.report.squares import largest_in_squares
from pyg_modules.report.unit_names import check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Free space around an image, relative to its size; above it stands its title.
_GAP = 0.08
_TITLE = 0.25
# More modules than these are not all named, and images of more beside each other have numbers.
_MOST_NAMED, _MOST_WORDS = 20, 6
_MOST_NAMED_INPUTS = 40


def plot_attribution(
    attribution: Tensor,
    image_shape: tuple[int, int] | None = None,
    *,
    input_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each module looks at: an image of each, or a matrix of modules and inputs.

    Of more than 256 inputs side by side, a square shows the largest number of several. Names of
    more than 40 are not written.

    Args:
        attribution (Tensor): What :func:`~pyg_modules.modules.input_attribution` returned,
            ``[K, ...]``; inputs of more than one dimension are flattened.
        image_shape (tuple of int, optional): Height and width, if inputs are the pixels of an
            image. (default: they are drawn side by side, ``[K, I]``)
        input_names (sequence of str, optional): Names of inputs side by side. (default: they are
            numbered)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: the current ones of
            pyplot if nothing is drawn on them, else new ones)

    Returns:
        matplotlib.axes.Axes: The axes, with one scale of colours for all modules.

    Raises:
        TypeError: If ``attribution`` is not a tensor, or ``input_names`` are no strings.
        ValueError: If there is no module, a number is not finite, ``image_shape`` does not fit,
            there are not as many ``input_names`` as inputs, or pixels have some.
    """
    if not isinstance(attribution, Tensor):
        raise TypeError(
            f"Expected a tensor (got {type(attribution).__name__}). Use input_attribution(parts,"
            f" x), or torch.as_tensor."
        )
    if attribution.dim() < 2 or len(attribution) == 0:
        raise ValueError(
            f"Expected an attribution of shape [K, ...], a row for each module (got"
            f" {list(attribution.shape)}). Use input_attribution(parts, x)."
        )
    flat = attribution.detach().cpu().flatten(start_dim=1).float()
    if not bool(flat.isfinite().all()):
        raise ValueError(
            "Expected finite attributions (got NaN or infinity)."
            " Look for inputs or weights that are not finite."
        )
    if image_shape is not None:
        _check_image_shape(image_shape, flat.size(1))
        if input_names is not None:
            raise ValueError(
                "Expected no input_names for the pixels of an image (got some). Leave them, or"
                " image_shape, out."
            )
    names = check_names("input_names", input_names, flat.size(1))
    ax = axes_or_empty(ax)
    if image_shape is None:
        image = _draw_matrix(ax, flat, names)
    else:
        image = _draw_images(ax, flat, image_shape)
    add_colorbar(image, r"mean of $\Sigma_o\, |\partial y_o / \partial x_i|$")
    return ax


def _check_image_shape(image_shape: tuple[int, int], num_inputs: int) -> None:
    is_pair = isinstance(image_shape, tuple | list) and len(image_shape) == 2
    are_sizes = is_pair and all(isinstance(size, Integral) and size > 0 for size in image_shape)
    if not are_sizes or prod(image_shape) != num_inputs:
        raise ValueError(
            f"Expected an image_shape of a height and a width, together {num_inputs} pixels, one"
            f" per input (got {brief(image_shape)})."
            " Give e.g. (8, 8) for 64 inputs, or leave it out."
        )


def _draw_matrix(ax: Axes, flat: Tensor, names: Sequence[str] | None) -> AxesImage:
    largest, (below, beyond) = largest_in_squares(flat.numpy())
    image = ax.imshow(
        largest,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=float(flat.max()),
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, beyond - 0.5, below - 0.5, -0.5),
    )
    num_modules, num_inputs = flat.shape
    ax.set(xlim=(-0.5, num_inputs - 0.5), ylim=(num_modules - 0.5, -0.5))
    if names is None or num_inputs > _MOST_NAMED_INPUTS:
        count_along(ax.xaxis)
    else:
        name_below(ax, dict(enumerate(names)), 7)
    ax.set_yticks(some_of(num_modules, _MOST_NAMED))
    ax.set_xlabel("input")
    ax.set_ylabel("module")
    return image


def _draw_images(ax: Axes, flat: Tensor, image_shape: tuple[int, int]) -> AxesImage:
    height, width = image_shape
    across, down = width * (1 + _GAP), height * (1 + _GAP + _TITLE)
    box = ax.get_window_extent()

    def scale(num_columns: int) -> float:
        num_rows = ceil(len(flat) / num_columns)
        return min(box.width / (num_columns * across), box.height / (num_rows * down))

    num_columns = max(range(1, len(flat) + 1), key=scale)
    num_rows = ceil(len(flat) / num_columns)
    for module, values in enumerate(flat):
        left = across * (module % num_columns)
        top = down * (module // num_columns)
        image = ax.imshow(
            values.view(height, width).numpy(),
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=float(flat.max()),
            extent=(left, left + width, top + height, top),
            interpolation="nearest",
        )
        ax.text(
            left + width / 2,
            top - 0.03 * height,
            f"module {module}" if num_columns <= _MOST_WORDS else f"{module}",
            fontsize=8,
            ha="center",
            va="bottom",
        )
    ax.set_xlim(-_GAP * width, num_columns * across)
    ax.set_ylim(num_rows * down - _TITLE * height, -_TITLE * height)
    ax.set_axis_off()
    return image
