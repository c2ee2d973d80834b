"""How good a trained model is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_modules.modules.analysed_parts import check_classes, check_outputs
from pyg_modules.nn.evaluating import evaluating
from pyg_modules.train.batches import Batches
from pyg_modules.train.checked_loss import CheckedLoss


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the inputs ``x`` [B, num_features] whose largest logit is at the class ``y`` [B].

    The model is run in evaluation mode.

    Raises:
        TypeError: If ``y`` is not a tensor of integers.
        ValueError: If there is no sample, not one class for each output, a class that no output is
            for, or a logit is NaN.
    """
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        got = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(
            f"Expected y to be a LongTensor (got {got}). Use torch.as_tensor(y).long() of classes."
        )
    with evaluating(model):
        logits = model(x)
    check_outputs(logits)
    check_classes(y, logits)
    if y.numel() == 0:
        raise ValueError("Expected at least one sample (got none). Give some.")
    found = logits.argmax(dim=-1)
    return float((found == y).double().mean())


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, loss: CheckedLoss) -> dict[str, float]:
    """The mean ``"loss"`` over the samples, and the ``"accuracy"`` if targets are classes ``[B]``.

    Where classes have weights, the mean is by these, as of one batch of all samples. Targets that
    the loss ignores do not count. The model is left in evaluation mode.

    Raises:
        ValueError: If nothing counts.
    """
    model.eval()
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for batch in batches.joined():
        outputs, targets = batches.run(model, batch)
        value, counted = loss(outputs, targets), loss.counted(targets)
        weight = loss.weight(targets)
        if weight == 0:
            continue
        terms = {"loss": (float(value) * weight, weight)}
        if are_classes(outputs, targets):
            right = (outputs.argmax(dim=-1) == targets)[counted]
            terms["accuracy"] = float(right.sum()), len(right)
        for name, (term, weight) in terms.items():
            sums[name] = sums.get(name, 0.0) + term
            weights[name] = weights.get(name, 0.0) + weight
    if not weights:
        raise ValueError(
            "Expected at least one validation sample that counts (got none)."
            " Give some, or leave validation_data out."
        )
    return {name: total / weights[name] for name, total in sums.items()}


def are_classes(outputs: object, targets: Tensor) -> bool:
    """Whether targets are classes ``[B]``, and outputs a number for each class ``[B, C]``."""
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or targets.dim() != 1:
        return False
    # The largest of one number says nothing, as of a logit of two classes, or a count.
    return outputs.size(1) > 1 and not targets.is_floating_point()
