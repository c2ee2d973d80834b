from __future__ import annotations

from torch import Tensor

from pyg_modules._checks import check_plain
from pyg_modules.ops.tracing import is_recording


def check_tensor(name: str, value: Tensor, width: int, units: str, like: Tensor) -> None:
    """Raise unless ``value`` is what a layer computes with.

    Args:
        name (str): What the argument is called.
        value (Tensor): What came.
        width (int): Its last size.
        units (str): What that counts.
        like (Tensor): Has the dtype and the device.

    Raises:
        TypeError: If it is no plain tensor, or of another dtype.
        ValueError: If it is of another width, or elsewhere.
    """
    if not isinstance(value, Tensor):
        remedy = "Use torch.as_tensor."
        if isinstance(getattr(value, "x", None), Tensor):
            remedy = (
                "Pass its features, layer(data.x): the edges of the layer are its own. A"
                " SynchronousConv takes those of the data beside them, conv(data.x,"
                " data.edge_index)."
            )
        elif isinstance(value, tuple):
            remedy = (
                "If to_hetero gave it, the features of both ends of an edge, it took the layer for"
                " a convolution: put it into one, or into PyG's Sequential('x', [(layer, 'x ->"
                " x')]), before to_hetero."
            )
        raise TypeError(f"Expected {name} to be a Tensor (got {type(value).__name__}). {remedy}")
    check_plain(name, value)
    # Where sizes are recorded, a comparison would be a constant.
    if not is_recording() and (value.dim() == 0 or value.size(-1) != width):
        remedy = "Make the graph for it, or put a Linear before the layer."
        if value.dim() > 1 and value.shape[1:].numel() == width:
            remedy = f"Use {name}.flatten(1)."
        raise ValueError(
            f"Expected {name} of shape [*, {width}], the number of {units} of the graph (got"
            f" {list(value.shape)}). {remedy}"
        )
    _check_place(name, value, like)


def check_images(name: str, value: Tensor, channels: int, units: str, like: Tensor) -> None:
    """The same for images ``[*, channels, H, W]``, one or several."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"Expected {name} to be a Tensor (got {type(value).__name__}). Use torch.as_tensor."
        )
    check_plain(name, value)
    shape = f"[B, {channels}, H, W] or [{channels}, H, W], {channels} the number of {units}"
    if value.dim() not in (3, 4):
        remedy = "Give it height and width."
        if value.dim() == 2 and channels and value.size(-1) % channels == 0:
            remedy = f"Use {name}.unflatten(1, ({channels}, height, width))."
        elif value.dim() > 4:
            remedy = f"Use {name}.flatten(0, {value.dim() - 4})."
        raise ValueError(
            f"Expected {name} of shape {shape} of the graph (got {list(value.shape)}). {remedy}"
        )
    if not is_recording() and value.size(-3) != channels:
        remedy = "Make the graph for it, or put a Conv2d with kernel_size=1 before the layer."
        if value.size(-1) == channels:
            remedy = f"Use {name}.movedim(-1, -3)."
        elif value.dim() == 3 and channels == 1:
            remedy = f"Use {name}.unsqueeze(1)."
        raise ValueError(
            f"Expected {name} of shape {shape} of the graph (got {list(value.shape)}). {remedy}"
        )
    if not is_recording() and (value.size(-1) == 0 or value.size(-2) == 0):
        raise ValueError(
            f"Expected images of a pixel at least in {name} (got {list(value.shape)}). Leave empty"
            f" ones out."
        )
    _check_place(name, value, like)


def _check_place(name: str, value: Tensor, like: Tensor) -> None:
    """Raise unless ``value`` has the dtype of ``like``, and is where that is."""
    if value.dtype != like.dtype:
        or_layer = f" or layer.to({value.dtype})" if value.is_floating_point() else ""
        if value.is_complex():
            name_of_real = f"torch.view_as_real({name}).flatten(-2)"
            raise TypeError(
                f"Expected {name} of dtype {like.dtype}, that of the layer (got {value.dtype})."
                f" Use {name}.abs(), or {name_of_real} and twice the inputs."
            )
        raise TypeError(
            f"Expected {name} of dtype {like.dtype}, that of the layer (got {value.dtype})."
            f" Use {name}.to({like.dtype}){or_layer}."
        )
    if value.device != like.device:
        remedy = f"Use {name}.to({str(like.device)!r})."
        if value.is_meta:
            remedy = "It has no values; make it there, or use layer.to('meta') for shapes alone."
        raise ValueError(
            f"Expected {name} on device {like.device}, that of the layer (got {value.device})."
            f" {remedy}"
        )
