from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: From outputs and targets to a scalar.
Loss = Callable[[Tensor, Tensor], Tensor]

_OF_CLASSES = (F.cross_entropy, F.nll_loss, nn.CrossEntropyLoss, nn.NLLLoss)
_OF_FLOATS = (
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.huber_loss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.HuberLoss,
)
_IGNORED = -100


class CheckedLoss:
    """A loss that looks at the first outputs and targets, and at those with which it fails.

    Args:
        loss (Callable): From outputs and targets to a scalar.

    Raises:
        TypeError: If ``loss`` cannot be called.
    """

    def __init__(self, loss: Loss) -> None:
        check_loss(loss)
        self._loss = loss
        self._is_checked = False

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        if not self._is_checked:
            check_targets(self._loss, outputs, targets)
            self._is_checked = True
        try:
            return self._loss(outputs, targets)
        except (IndexError, RuntimeError):
            check_targets(self._loss, outputs, targets)
            raise


def check_loss(loss: object) -> None:
    """Raise unless ``loss`` is something to call, and not the class of it."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(
            f"Expected a loss that can be called (got {loss!r}). Give a function, such as"
            f" torch.nn.functional.mse_loss, or an object, such as torch.nn.MSELoss()."
        )


def check_targets(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Raise where a loss would fail on targets, or compare every output with every target.

    Raises:
        TypeError: If the targets are of a type that the loss does not take.
        ValueError: If a class is out of range, or outputs ``[N, 1]`` meet targets ``[N]``.
    """
    kind: object = loss
    settings: dict[str, Any] = {}
    if isinstance(loss, partial):
        kind, settings = loss.func, loss.keywords
    elif isinstance(loss, nn.Module):
        kind, settings = type(loss), vars(loss)
    if kind in _OF_CLASSES:
        # Of the shape of the outputs, targets are probabilities.
        if targets.shape != outputs.shape:
            _check_classes(outputs, targets, settings.get("ignore_index", _IGNORED))
        return
    vector, column = sorted((outputs, targets), key=Tensor.dim)
    if vector.dim() == 1 and column.shape == (len(vector), 1):
        raise ValueError(
            f"Expected targets {list(outputs.shape)}, as the outputs (got {list(targets.shape)})."
            f" Use y.reshape(-1{', 1' if outputs.dim() == 2 else ''}), or every output would be"
            f" compared with every target."
        )
    if kind in _OF_FLOATS and not targets.is_floating_point():
        raise TypeError(
            f"Expected targets that are {outputs.dtype}, as the outputs (got {targets.dtype})."
            f" Use y.to({outputs.dtype})."
        )


def _check_classes(outputs: Tensor, targets: Tensor, ignored: int) -> None:
    if targets.dtype not in (torch.int64, torch.uint8):
        raise TypeError(
            f"Expected classes that are torch.int64 for the cross-entropy (got {targets.dtype})."
            f" Use y.long(); if they are no classes, name the loss, e.g."
            f" loss=torch.nn.functional.mse_loss."
        )
    *rows, num_classes = outputs.movedim(min(1, outputs.dim() - 1), -1).shape
    if list(targets.shape) != rows:
        raise ValueError(
            f"Expected classes {rows} for outputs {list(outputs.shape)} (got"
            f" {list(targets.shape)}). Give one class per sample, not a row of them: y.flatten()."
        )
    classes = targets[targets != ignored]
    is_wrong = (classes < 0) | (classes >= num_classes)
    if bool(is_wrong.any()):
        raise ValueError(
            f"Expected classes from 0 to {num_classes - 1}, one per output (got"
            f" {int(classes[is_wrong][0])}). Number the classes from 0, or give the model more"
            f" outputs."
        )
