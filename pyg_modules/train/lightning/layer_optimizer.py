"""The one of several optimizers that trains a layer."""

from __future__ import annotations

from collections.abc import Iterable

import lightning as L
from torch import nn
from torch.optim import Optimizer


def optimizer_with(optimizers: Iterable[Optimizer], weight: nn.Parameter) -> Optimizer | None:
    """The first one that holds ``weight``, if one does."""
    for optimizer in optimizers:
        if any(weight is one for group in optimizer.param_groups for one in group["params"]):
            return optimizer
    return None


def optimizer_of(trainer: L.Trainer, weight: nn.Parameter) -> Optimizer:
    """The one of ``trainer`` that holds the ``weight`` of a layer.

    Raises:
        ValueError: If none does.
    """
    optimizer = optimizer_with(trainer.optimizers, weight)
    if optimizer is None:
        raise ValueError(
            "Expected an optimizer with the weight of the layer (got none). Return it from"
            " configure_optimizers."
        )
    return optimizer
