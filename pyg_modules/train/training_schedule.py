"""What is added to the loss of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from pyg_modules.partition.regularizer import PartitionRegularizer


@runtime_checkable
class Schedule(Protocol):
    """What :func:`fit` takes as ``schedule``: any object with these methods.

    A :class:`PartitionSchedule` is one. If a schedule has an attribute ``epochs``, the training
    must be as long, and is not ended early; if it has a method ``phase(epoch)``, the history has
    what it returns, ``"free"``, ``"ramp"``, ``"full"`` or ``"cut"``.
    """

    def step(self, epoch: int) -> None:
        """Called when an epoch begins, from 0 on."""

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        """What is added to the loss of a batch: by name a coefficient and a scalar."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained beside the model, without weight decay or clipping; often nothing."""


def check_regularized(model: nn.Module, regularizer: PartitionRegularizer) -> None:
    """Raise unless ``regularizer`` is one, and the layer that it organises is in ``model``."""
    if not isinstance(regularizer, PartitionRegularizer):
        raise TypeError(
            f"Expected a PartitionRegularizer (got {type(regularizer).__name__}). Make one:"
            f" PartitionRegularizer(layer, num_modules); that of a schedule is"
            f" schedule.regularizer."
        )
    layer = regularizer.layer
    # What is no Module is in no model; it may still look at the weights of this one.
    if isinstance(layer, nn.Module) and layer not in set(model.modules()):
        raise ValueError(
            "Expected a regularizer of a layer of the model (got one of another layer). Make it"
            " of the layer inside: PartitionRegularizer(layer, num_modules)."
        )
