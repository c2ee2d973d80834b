from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pyg_modules._brief import brief


def check_analysed(
    parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor, head: object = None
) -> None:
    """Raise unless ``parts`` are several networks, ``x`` inputs of them, and ``head`` a function.

    Raises:
        TypeError: If ``parts`` are one network or none, ``x`` is not a floating point tensor, or
            ``head`` cannot be called.
    """
    if isinstance(parts, nn.Module) and not isinstance(parts, nn.ModuleList):
        raise TypeError(
            f"Expected a sequence of networks, one per module (got one {type(parts).__name__}). Use"
            f" split(layer) of a layer made by cut, or the parts of a ModularGraph."
        )
    if not isinstance(parts, Sequence | nn.ModuleList) or not all(
        isinstance(part, nn.Module) for part in parts
    ):
        raise TypeError(
            f"Expected a sequence of networks, one per module (got {brief(parts)}). Use"
            f" split(layer) of a layer made by cut, or the parts of a ModularGraph."
        )
    if head is not None and not callable(head):
        raise TypeError(
            f"Expected head to be called with outputs of parts (got {brief(head)}). Give a function"
            f" or a network."
        )
    if not isinstance(x, Tensor):
        raise TypeError(
            f"Expected x to be a tensor (got {type(x).__name__}). Use torch.as_tensor(x)."
        )
    if not x.is_floating_point():
        raise TypeError(f"Expected x to be a floating point tensor (got {x.dtype}). Use x.float().")


def check_outputs(outputs: Tensor) -> None:
    """Raise a ``ValueError`` if there is a NaN, of which nothing can be said.

    The largest of some logits would be at the first of them.
    """
    if bool(outputs.isnan().any()):
        raise ValueError(
            "Expected outputs that are numbers (got NaN). Look for NaN or infinity in the inputs"
            " and the weights; a training that diverged needs a lower learning rate."
        )


def check_classes(y: Tensor, logits: Tensor) -> None:
    """Raise a ``ValueError`` unless ``y`` is a class for each of ``logits``, ``[*, C]``."""
    *shape, num_classes = logits.shape
    if list(y.shape) != shape:
        raise ValueError(
            f"Expected y of shape {shape}, a class for each sample of x (got {list(y.shape)})."
            " Give as many classes as samples, y.flatten() of a column."
        )
    if num_classes < 2:
        raise ValueError(
            "Expected logits of two classes or more (got one output). The largest of them is the"
            " class; for a regression, give floats: y.float()."
        )
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(
            f"Expected classes from 0 to {num_classes - 1}, one per output (got {int(y.min())} to"
            f" {int(y.max())})."
            " Number them from 0, e.g. by y.unique(return_inverse=True)[1]."
        )
