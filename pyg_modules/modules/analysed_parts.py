from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def check_analysed(parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> None:
    """Raise unless ``parts`` are several networks, and ``x`` are inputs of them.

    Raises:
        TypeError: If ``parts`` are one network, or ``x`` is not a floating point tensor.
    """
    if isinstance(parts, nn.Module) and not isinstance(parts, nn.ModuleList):
        raise TypeError(
            f"Expected a sequence of networks, one per module (got one {type(parts).__name__}). Use"
            f" split(layer) of a layer made by cut, or the parts of a ModularGraph."
        )
    if not isinstance(x, Tensor):
        raise TypeError(
            f"Expected x to be a tensor (got {type(x).__name__}). Use torch.as_tensor(x)."
        )
    if not x.is_floating_point():
        raise TypeError(f"Expected x to be a floating point tensor (got {x.dtype}). Use x.float().")
