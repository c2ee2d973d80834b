from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules.modules.analysed_parts import check_analysed
from pyg_modules.nn.evaluating import evaluating


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
def lesion_study(
    parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor, y: Tensor, *others: Any
) -> LesionStudy:
    """Remove every module in turn, and run each alone: what does the accuracy say?

    ``without`` and ``only`` are the outputs of :meth:`ModularGraph.drop` and
    :meth:`ModularGraph.only`. What modules share, the biases of the outputs and edges from inputs
    to outputs, :func:`split` gives to the first part: it is lost without module 0, and all other
    modules are alone without it. Parts are run in evaluation mode.

    Args:
        parts (sequence of torch.nn.Module): From ``x`` to logits ``[B, C]``, which add up; such as
            those of :func:`split`.
        x (Tensor): Inputs, ``[B, ...]``.
        y (LongTensor): Their classes, ``[B]``.
        *others: What the parts take beside ``x``.

    Returns:
        LesionStudy: Accuracies per class.

    Raises:
        TypeError: If ``parts`` are one network, ``x`` is not a floating point tensor or ``y`` not
            one of integers.
        ValueError: If there are less than two parts, their outputs are not ``[B, C]`` each with
            two classes or more, or ``y`` is not one class per sample.
    """
    check_analysed(parts, x)
    if len(parts) < 2:
        raise ValueError(
            f"Expected two parts at least (got {len(parts)}). Use split(cut(layer, labels))."
        )
    if not isinstance(y, Tensor):
        raise TypeError(
            f"Expected y to be a LongTensor (got {type(y).__name__}). Use torch.as_tensor(y)."
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"Expected y to be a LongTensor (got {y.dtype}). Use y.long().")
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"Expected y of shape [{len(x)}], a class for each sample of x (got {list(y.shape)})."
        )
    with evaluating(*parts):
        outputs = [part(x, *others) for part in parts]
    shapes = {tuple(of_part.shape) for of_part in outputs}
    if len(shapes) > 1 or outputs[0].dim() != 2 or len(outputs[0]) != len(x):
        raise ValueError(
            f"Expected outputs of shape [{len(x)}, C] from every part (got {sorted(shapes)})."
        )
    logits = torch.stack(outputs)
    num_parts, _, num_classes = logits.shape
    if num_classes < 2:
        raise ValueError(
            "Expected logits of two classes or more from every part (got one output). The largest"
            " of them is the class; a lesion study has no meaning for one."
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(
            f"Expected classes from 0 to {num_classes - 1}, one per output (got {int(y.min())} to"
            f" {int(y.max())})."
        )
    num_samples = torch.bincount(y, minlength=num_classes)

    def accuracies(total: Tensor) -> Tensor:
        right = torch.bincount(y[total.argmax(dim=-1) == y], minlength=num_classes)
        return right / num_samples

    # The others are added up, as a network without the module does; a difference would round.
    all_but_one = ~torch.eye(num_parts, dtype=torch.bool, device=logits.device)
    return LesionStudy(
        all=accuracies(logits.sum(dim=0)),
        without=torch.stack([accuracies(logits[kept].sum(dim=0)) for kept in all_but_one]),
        only=torch.stack([accuracies(of_part) for of_part in logits]),
        num_samples=num_samples,
    )
