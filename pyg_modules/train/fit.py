from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyg_modules.train.datasets import Dataset

#: Told the epoch, counted from 1, and the mean losses of its batches.
EpochCallback = Callable[[int, dict[str, float]], None]

#: From the progress in [0, 1] to named terms of the loss and their coefficients.
Penalty = Callable[[float], dict[str, tuple[float, Tensor]]]


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    seed: int,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    batch_size: int = 64,
    penalty: Penalty | None = None,
    penalty_parameters: Iterable[nn.Parameter] = (),
    penalty_learning_rate: float = 0.05,
    on_epoch: EpochCallback | None = None,
) -> None:
    """Train a classifier in place: AdamW, one-cycle learning rate, gradient norm clipped at 1.

    Args:
        model (torch.nn.Module): From ``[B, num_features]`` to logits ``[B, num_classes]``.
        data (Dataset): Its training part is used, on the device of the model.
        epochs (int): Passes over the training data; 0 leaves the model as it is.
        seed (int): Of the order of the samples.
        learning_rate (float, optional): Largest learning rate. (default: 3e-3)
        weight_decay (float, optional): Decoupled weight decay of the model. (default: 0.1)
        batch_size (int, optional): Samples per step. (default: 64)
        penalty (Callable, optional): Further terms of the loss, given the progress in [0, 1].
        penalty_parameters (iterable, optional): Parameters of the penalty; they have a learning
            rate of their own, no weight decay and no clipping.
        penalty_learning_rate (float, optional): Their largest learning rate. (default: 0.05)
        on_epoch (Callable, optional): Called after every epoch with its number and mean losses.
    """
    if epochs == 0:
        return
    groups: list[dict[str, Any]] = [
        {"params": list(model.parameters()), "lr": learning_rate, "weight_decay": weight_decay}
    ]
    if penalty_parameters := list(penalty_parameters):
        groups.append(
            {"params": penalty_parameters, "lr": penalty_learning_rate, "weight_decay": 0.0}
        )
    optimizer = torch.optim.AdamW(groups)
    num_batches = -(-len(data.train_x) // batch_size)
    total_steps = epochs * num_batches
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=total_steps
    )
    batches = _shuffled_batches(data, batch_size, seed)
    model.train()
    for epoch in range(epochs):
        sums: dict[str, Tensor] = {}
        for batch in range(num_batches):
            x, y = next(batches)
            loss = F.cross_entropy(model(x), y)
            terms = {"task": loss.detach()}
            if penalty is not None:
                progress = (epoch * num_batches + batch) / total_steps
                for name, (coefficient, term) in penalty(progress).items():
                    terms[name] = term.detach()
                    loss = loss + coefficient * term
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            for name, term in terms.items():
                sums[name] = sums[name] + term if name in sums else term
        if on_epoch is not None:
            on_epoch(epoch + 1, {name: float(total) / num_batches for name, total in sums.items()})
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the inputs ``x`` [B, num_features] whose largest logit is at the class ``y`` [B]."""
    return float((model(x).argmax(dim=-1) == y).double().mean())


def _shuffled_batches(data: Dataset, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one random order after the other, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(data.train_x), generator=generator).to(data.train_x.device)
        for index in torch.split(order, batch_size):
            yield data.train_x[index], data.train_y[index]
