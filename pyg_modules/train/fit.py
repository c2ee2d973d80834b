from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyg_modules._checks import as_coefficient, as_int
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.train.epoch_record import EpochRecord

#: Told the epoch, counted from 1, and the mean losses of its batches.
EpochCallback = Callable[[int, dict[str, float]], None]

# The share of the training in which a constant learning rate falls to 0.
_FALL = 0.2


class DivergedError(RuntimeError):
    """A loss became NaN or infinite."""


class TrainingData(Protocol):
    """What :func:`fit` needs of a data set."""

    @property
    def train_x(self) -> Tensor:
        """Training inputs, ``[num_train, num_features]``."""

    @property
    def train_y(self) -> Tensor:
        """Their targets, ``[num_train, ...]``."""


def fit(
    model: nn.Module,
    data: TrainingData,
    *,
    epochs: int,
    seed: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    learning_rate: float = 3e-3,
    one_cycle: bool = True,
    weight_decay: float = 0.1,
    batch_size: int = 64,
    schedule: PartitionSchedule | None = None,
    on_epoch: EpochCallback | None = None,
) -> list[EpochRecord]:
    """Train a model in place: AdamW, gradient norm clipped at 1.

    Args:
        model (torch.nn.Module): From ``[B, num_features]`` to outputs, e.g. logits ``[B, C]``.
        data (TrainingData): Its training part is used, on the device of the model.
        epochs (int): Passes over the training data; 0 leaves the model as it is.
        seed (int): Of the order of the samples.
        loss (Callable, optional): From outputs and targets to a scalar. (default: cross-entropy)
        learning_rate (float, optional): Largest learning rate. (default: 3e-3)
        one_cycle (bool, optional): Whether the learning rate rises and falls in one cycle; else it
            is constant, and falls to 0 in the last fifth. (default: ``True``)
        weight_decay (float, optional): Decoupled weight decay of the model. (default: 0.1)
        batch_size (int, optional): Samples per step. (default: 64)
        schedule (PartitionSchedule, optional): Its regularizer is added to the loss, and its
            assignment is trained, without weight decay or clipping.
        on_epoch (Callable, optional): Called after every epoch with its number and mean losses.

    Returns:
        list of EpochRecord: The history; without ``schedule``, its phase is ``"free"``.

    Raises:
        DivergedError: If a loss is NaN or infinite; the model is left as it is then.
        TypeError: If a number is none, or the loss cannot be called.
        ValueError: If a number is negative, ``batch_size`` 0, the training data empty, or
            ``schedule`` made for another number of epochs or for a layer outside of the model.
    """
    epochs = as_int("epochs", epochs, smallest=0)
    batch_size = as_int("batch_size", batch_size, smallest=1)
    learning_rate = as_coefficient("learning_rate", learning_rate)
    weight_decay = as_coefficient("weight_decay", weight_decay)
    check_loss(loss)
    if len(data.train_x) == 0:
        raise ValueError("Expected at least one training sample (got none).")
    if schedule is not None:
        check_regularized(model, schedule.regularizer)
        if schedule.epochs != epochs:
            raise ValueError(
                f"Expected epochs={schedule.epochs}, those of the schedule (got {epochs})."
            )
    history: list[EpochRecord] = []
    if epochs == 0:
        return history
    regularizer = None if schedule is None else schedule.regularizer
    parameters = parameters_but_of(model, regularizer)
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr": learning_rate, "weight_decay": weight_decay}
    ]
    if regularizer is not None:
        logits = list(regularizer.parameters())
        groups.append({"params": logits, "lr": learning_rate, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups)
    num_batches = -(-len(data.train_x) // batch_size)
    total_steps = epochs * num_batches
    scheduler = learning_rates(optimizer, total_steps, one_cycle)
    batches = _shuffled_batches(data, batch_size, seed)
    model.train()
    for epoch in range(epochs):
        if schedule is not None:
            schedule.step(epoch)
        sums: dict[str, Tensor] = {}
        for _ in range(num_batches):
            x, y = next(batches)
            total = loss(model(x), y)
            terms = {"task": total.detach()}
            if regularizer is not None:
                penalties = regularizer.losses()
                total = total + regularizer.weighted(penalties)
                terms |= {name: penalty.detach() for name, penalty in penalties.items()}
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            scheduler.step()
            for name, term in terms.items():
                sums[name] = sums[name] + term if name in sums else term
        means = {name: float(value) / num_batches for name, value in sums.items()}
        if not all(map(isfinite, means.values())):
            raise DivergedError(
                f"Expected finite losses (got {means} in epoch {epoch + 1}): the training diverged."
                f" Lower learning_rate ({learning_rate:g})."
            )
        phase = "free" if schedule is None else schedule.phase(epoch)
        history.append(EpochRecord(phase, means))
        if on_epoch is not None:
            on_epoch(epoch + 1, means)
    model.eval()
    return history


def parameters_but_of(
    model: nn.Module, regularizer: PartitionRegularizer | None
) -> list[nn.Parameter]:
    """The parameters of a model, without those of a regularizer that may be a part of it."""
    left_out = set() if regularizer is None else set(regularizer.parameters())
    return [parameter for parameter in model.parameters() if parameter not in left_out]


def check_loss(loss: object) -> None:
    """Raise unless ``loss`` is something to call, and not the class of it."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(
            f"Expected a loss that can be called (got {loss!r}). Give a function, such as"
            f" torch.nn.functional.mse_loss, or an object, such as torch.nn.MSELoss()."
        )


def check_regularized(model: nn.Module, regularizer: PartitionRegularizer) -> None:
    """Raise unless ``regularizer`` is one, and the layer that it organises is in ``model``."""
    if not isinstance(regularizer, PartitionRegularizer):
        raise TypeError(
            f"Expected a PartitionRegularizer (got {type(regularizer).__name__}). Make one:"
            f" PartitionRegularizer(layer, num_modules); that of a schedule is"
            f" schedule.regularizer."
        )
    if regularizer.layer not in set(model.modules()):
        raise ValueError(
            "Expected a regularizer of a layer of the model (got one of another layer). Make it"
            " of the layer inside: PartitionRegularizer(layer, num_modules)."
        )


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the inputs ``x`` [B, num_features] whose largest logit is at the class ``y`` [B]."""
    return float((model(x).argmax(dim=-1) == y).double().mean())


def learning_rates(
    optimizer: torch.optim.Optimizer, total_steps: int, one_cycle: bool
) -> torch.optim.lr_scheduler.LRScheduler:
    """One cycle of the learning rate over all steps, or a constant one that falls to 0 at last."""
    if one_cycle:
        largest = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, largest, total_steps=total_steps)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (total_steps - step) / (_FALL * total_steps))
    )


def _shuffled_batches(
    data: TrainingData, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one random order after the other, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(data.train_x), generator=generator).to(data.train_x.device)
        for index in torch.split(order, batch_size):
            yield data.train_x[index], data.train_y[index]
