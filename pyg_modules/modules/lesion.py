from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LesionStudy:
    """What is lost without each module, and what each can do alone.

    Args:
        all (Tensor): Accuracy per class of all modules together, ``[C]``, NaN for a class without
            samples.
        without (Tensor): Without each module, ``[K, C]``.
        only (Tensor): With each module alone, ``[K, C]``.
        num_samples (LongTensor): Samples per class, ``[C]``.
    """

    all: Tensor
    without: Tensor
    only: Tensor
    num_samples: Tensor


@torch.no_grad()
def lesion_study(parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor, y: Tensor) -> LesionStudy:
    """Remove every module in turn, and run each alone: what does the accuracy say?

    What modules share, the biases of the outputs and edges from inputs to outputs, :func:`split`
    gives to the first part, and it goes and stays with that.

    Args:
        parts (sequence of torch.nn.Module): From ``x`` to logits ``[B, C]``, which add up; such as
            those of :func:`split`.
        x (Tensor): Inputs, ``[B, ...]``.
        y (LongTensor): Their classes, ``[B]``.

    Returns:
        LesionStudy: Accuracies per class.

    Raises:
        ValueError: If there are less than two parts, or ``y`` is not one class per sample.
    """
    if len(parts) < 2:
        raise ValueError(f"Expected two parts at least (got {len(parts)}).")
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"Expected y of shape [{len(x)}], a class for each sample of x (got {list(y.shape)})."
        )
    logits = torch.stack([part(x) for part in parts])
    total = logits.sum(dim=0)
    num_samples = torch.bincount(y, minlength=total.size(-1))

    def accuracies(outputs: Tensor) -> Tensor:
        right = torch.bincount(y[outputs.argmax(dim=-1) == y], minlength=len(num_samples))
        return right / num_samples

    return LesionStudy(
        all=accuracies(total),
        without=torch.stack([accuracies(total - of_part) for of_part in logits]),
        only=torch.stack([accuracies(of_part) for of_part in logits]),
        num_samples=num_samples,
    )
