from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pyg_modules.datasets.encoding import Encoding


@dataclass(frozen=True)
class Dataset:
    """A task: classification, or regression.

    Args:
        name (str): Its name.
        train_x (Tensor): Training inputs, float32, ``[num_train, num_features]``.
        train_y (Tensor): Their classes, int64 ``[num_train]``, or targets, float32 ``[num_train,
            num_outputs]``.
        test_x (Tensor): Test inputs, ``[num_test, num_features]``.
        test_y (Tensor): Their classes or targets, likewise.
        image_shape (tuple of int, optional): Height and width, if the features are an image's.
        encoding (Encoding, optional): How rows of a file became inputs.

    Raises:
        ValueError: If an input is not finite, or inputs and targets do not fit together.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    image_shape: tuple[int, int] | None = None
    encoding: Encoding | None = None

    def __post_init__(self) -> None:
        parts = ("training", self.train_x, self.train_y), ("test", self.test_x, self.test_y)
        for part, x, y in parts:
            if len(x) != len(y) or x.shape[1:] != self.train_x.shape[1:]:
                raise ValueError(
                    f"Expected as many {part} targets as inputs in {self.name}, and the features of"
                    f" the training inputs, {list(self.train_x.shape[1:])} (got"
                    f" {list(y.shape)} and {list(x.shape)}). Give a target for each input."
                )
            if not bool(x.isfinite().all()):
                row = int((~x.isfinite()).any(dim=1).nonzero()[0])
                raise ValueError(
                    f"Expected finite inputs in {self.name} (got NaN or infinity in {part} row"
                    f" {row}). Impute or drop such rows."
                )

    @property
    def num_features(self) -> int:
        """Number of input features."""
        return self.train_x.size(1)

    @property
    def is_regression(self) -> bool:
        """Whether targets are real numbers, not classes."""
        return self.train_y.is_floating_point()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.train_y.max()) + 1

    @property
    def num_outputs(self) -> int:
        """Number of classes or of targets, an output of a network each."""
        return self.train_y.size(1) if self.is_regression else self.num_classes

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The cross-entropy of logits, or the mean squared error, to train on."""
        return F.mse_loss if self.is_regression else F.cross_entropy

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on ``device``."""
        names = ("train_x", "train_y", "test_x", "test_y")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})
