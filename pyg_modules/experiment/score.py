"""How good a network is on the test data, and how that is written."""

from __future__ import annotations

import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn

from pyg_modules.nn.evaluating import evaluating
from pyg_modules.train.evaluation import accuracy


@torch.no_grad()
def score(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The accuracy, or R² where the targets are real numbers.

    Args:
        model (torch.nn.Module): The network.
        x (Tensor): Inputs, ``[B, num_features]``.
        y (Tensor): Classes, int64 ``[B]``, or targets, ``[B, num_outputs]``.
    """
    if not y.is_floating_point():
        return accuracy(model, x, y)
    with evaluating(model):
        return float(r2_score(y.cpu().double().numpy(), model(x).cpu().double().numpy()))


def score_name(*, is_regression: bool) -> str:
    """What a score is called."""
    return "R²" if is_regression else "accuracy"


def shown_score(value: float, *, is_regression: bool) -> str:
    """A score for a table: ``"96.94%"`` or ``"0.431"``."""
    return f"{value:.3f}" if is_regression else f"{value:.2%}"
