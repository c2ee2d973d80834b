"""Tasks of vectors, with or without a stem before the network that is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.comparison.networks import size_of_complete
from pyg_modules.datasets import Dataset


@dataclass(frozen=True)
class Problem:
    """What all networks of one table have in common.

    Args:
        name (str): That of the table.
        load (Callable): The data for a data root and a seed, without one those that recipes are
            searched on; targets [B] of classes, or [B, O].
        num_inputs (int): Inputs of the compared networks.
        num_outputs (int): Their outputs.
        num_hidden (int): Hidden units of the complete unit graph, which sets the size for all.
        epochs (int): Passes over the training data.
        batch_size (int): Samples per step.
        seeds (int): Number of runs for each search.
        num_trials (int): Recipes that a search tries for every kind of network.
        num_searches (int): How often recipes are searched, with other draws.
        modules (tuple of int): Numbers of modules.
        stem (Callable, optional): Makes what stands before the compared networks.
        is_regression (bool, optional): Whether targets are real numbers.
        is_small (bool, optional): Whether there are few samples. Then every seed tests on others,
            and recipes are compared by their losses: too many have the same accuracy.
    """

    name: str
    load: Callable[[str | None, int | None], Dataset]
    num_inputs: int
    num_outputs: int
    num_hidden: int
    epochs: int
    batch_size: int
    seeds: int = 5
    num_trials: int = 24
    num_searches: int = 1
    modules: tuple[int, ...] = (2, 4, 8)
    stem: Callable[[], nn.Module] | None = None
    is_regression: bool = False
    is_small: bool = False

    @property
    def size(self) -> int:
        """Parameters of the complete unit graph."""
        return size_of_complete(self.num_inputs, self.num_hidden, self.num_outputs)

    def shortened(self) -> Problem:
        """Of two epochs, to see whether it runs."""
        return replace(self, epochs=2)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is trained on."""
        return (
            F.mse_loss(outputs, targets)
            if self.is_regression
            else F.cross_entropy(outputs, targets)
        )

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of right classes, or :math:`R^2`."""
        if self.is_regression:
            return float(r2_score(targets.numpy(), outputs.numpy()))
        return float((outputs.argmax(dim=-1) == targets).double().mean())


def on_model(model: nn.Module, x: Tensor) -> Tensor:
    """Outputs of a trained model."""
    with torch.no_grad():
        outputs: Tensor = model.eval()(x)
    return outputs
