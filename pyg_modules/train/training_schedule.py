"""What is added to the loss of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.schedule import PartitionSchedule


@runtime_checkable
class Schedule(Protocol):
    """What :func:`fit` takes as ``schedule``: any object with these methods.

    A :class:`PartitionSchedule` is one. If a schedule has an attribute ``epochs``, the training
    must be as long; if it has a method ``phase(epoch)``, the history has what it returns.
    """

    def step(self, epoch: int) -> None:
        """Called when an epoch begins, from 0 on."""

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        """What is added to the loss of a batch: by name a coefficient and a scalar."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained beside the model, without weight decay or clipping; often nothing."""


def schedules_of(
    schedule: Schedule | Sequence[Schedule] | None, model: nn.Module, epochs: int
) -> list[Schedule]:
    """The schedules of a training.

    Raises:
        TypeError: If one is no schedule.
        ValueError: If one is made for another number of epochs, or for a layer outside of
            ``model``.
    """
    if schedule is None:
        return []
    schedules = list(schedule) if isinstance(schedule, Sequence) else [schedule]
    for one in schedules:
        if isinstance(one, PartitionRegularizer):
            raise TypeError(
                "Expected a schedule (got a PartitionRegularizer). Make one of it:"
                f" schedule=PartitionSchedule(regularizer, epochs={epochs})."
            )
        if isinstance(one, type) or not isinstance(one, Schedule):
            raise TypeError(
                f"Expected a schedule, with step(epoch), penalties() and parameters() (got"
                f" {one!r}). PartitionSchedule(regularizer, epochs) is one."
            )
        if isinstance(one, PartitionSchedule):
            check_regularized(model, one.regularizer)
        own = getattr(one, "epochs", epochs)
        if own != epochs:
            raise ValueError(f"Expected epochs={own}, those of the schedule (got {epochs}).")
    return schedules


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
