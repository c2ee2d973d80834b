"""Outputs with which losses of torch are lowest, where that is not at 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: From outputs, whose shape counts, and targets to the best outputs.
Best = Callable[[Tensor, Tensor], Tensor]


def best_for(loss: Callable[..., Any], given: dict[str, Any]) -> Best | None:
    """What is best for a loss as it was called; ``None`` if its loss is 0, or not known.

    A cross-entropy stays above 0 where targets are probabilities, or are smoothed: at their
    entropy. A likelihood of counts, or with a given variance, may be on either side of it.

    Args:
        loss (Callable): Of torch.
        given (dict): Its arguments by name.
    """
    outputs, targets = given["input"], given["target"]
    if loss is F.cross_entropy:
        smoothing, weight = given["label_smoothing"], given["weight"]
        if not smoothing and outputs.shape != targets.shape:
            return None
        return lambda outputs, targets: _best_logits(outputs, targets, smoothing, weight)
    if loss is F.binary_cross_entropy_with_logits and bool(((targets > 0) & (targets < 1)).any()):
        positive = given["pos_weight"]
        return lambda _, targets: _best_binary_logits(targets, positive)
    if loss is F.poisson_nll_loss:
        is_log = given["log_input"]
        return lambda outputs, targets: _best_rates(targets.to(outputs.dtype), is_log=is_log)
    if loss is F.gaussian_nll_loss:
        return lambda outputs, targets: targets.to(outputs.dtype)
    return None


def _best_logits(
    outputs: Tensor, targets: Tensor, smoothing: float, weight: Tensor | None
) -> Tensor:
    of_classes = min(1, outputs.dim() - 1)
    num_classes = outputs.size(of_classes)
    share = targets.to(outputs.dtype)
    if targets.shape != outputs.shape:
        # Those to ignore may be no class; whatever stands for them does not count.
        classes = targets.long().clamp(0, num_classes - 1)
        share = F.one_hot(classes, num_classes).movedim(-1, of_classes).to(outputs.dtype)
    share = share * (1 - smoothing) + smoothing / num_classes
    if weight is not None:
        share = share * weight.to(share).view(-1, *[1] * (outputs.dim() - of_classes - 1))
    return share.clamp(min=torch.finfo(share.dtype).tiny).log()


def _best_rates(targets: Tensor, *, is_log: bool) -> Tensor:
    return targets.clamp(min=torch.finfo(targets.dtype).tiny).log() if is_log else targets


def _best_binary_logits(targets: Tensor, positive: Tensor | None) -> Tensor:
    logits = torch.logit(targets, eps=torch.finfo(targets.dtype).eps)
    return logits if positive is None else logits + positive.log()
