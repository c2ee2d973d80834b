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
        train_x (Tensor): Training inputs, floats, ``[num_train, num_features]``.
        train_y (Tensor): Their classes, int64 ``[num_train]``, or targets, floats ``[num_train,
            num_outputs]``.
        test_x (Tensor): Test inputs, ``[num_test, num_features]``.
        test_y (Tensor): Their classes or targets, likewise.
        image_shape (tuple of int, optional): Height and width, if the features are an image's.
        encoding (Encoding, optional): How rows of a file became inputs.

    Raises:
        TypeError: If a part is no tensor.
        ValueError: If a part is empty, of another type or shape, or not finite; inputs and targets
            do not fit together; or a class is negative, or none that is trained on.
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
            self._check_kinds(part, x, y)
            self._check_shapes(part, x, y)
            self._check_values(part, x, y)

    def _check_kinds(self, part: str, x: Tensor, y: Tensor) -> None:
        for value in (x, y):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"Expected tensors in {self.name} (got {type(value).__name__}). Use"
                    f" torch.as_tensor."
                )
        if not x.is_floating_point() or x.dim() != 2:
            raise ValueError(
                f"Expected {part} inputs of floats, [samples, features], in {self.name} (got"
                f" {x.dtype} {list(x.shape)}). Use x.float().flatten(1)."
            )
        are_numbers = y.is_floating_point() and y.dim() == 2
        are_classes = y.dtype == torch.int64 and y.dim() == 1
        if not are_numbers and not are_classes:
            raise ValueError(
                f"Expected {part} targets that are classes, int64 [samples], or numbers, floats"
                f" [samples, outputs], in {self.name} (got {y.dtype} {list(y.shape)}). Use"
                f" y.long().flatten() for classes, y.float().reshape(len(y), -1) for numbers."
            )

    def _check_shapes(self, part: str, x: Tensor, y: Tensor) -> None:
        if len(x) != len(y) or x.shape[1:] != self.train_x.shape[1:]:
            raise ValueError(
                f"Expected as many {part} targets as inputs in {self.name}, and the features of"
                f" the training inputs, {list(self.train_x.shape[1:])} (got"
                f" {list(y.shape)} and {list(x.shape)}). Give a target for each input."
            )
        if y.dtype != self.train_y.dtype or y.shape[1:] != self.train_y.shape[1:]:
            raise ValueError(
                f"Expected {part} targets like those of training in {self.name},"
                f" {self.train_y.dtype} {list(self.train_y.shape)} (got {y.dtype}"
                f" {list(y.shape)}). Give those of the same task."
            )
        if x.numel() == 0 or y.numel() == 0:
            raise ValueError(
                f"Expected a {part} sample at least, with a feature and a target, in {self.name}"
                f" (got {list(x.shape)} and {list(y.shape)}). Add some."
            )

    def _check_values(self, part: str, x: Tensor, y: Tensor) -> None:
        for what, values in (("inputs", x), ("targets", y.reshape(len(y), -1))):
            if not bool(values.isfinite().all()):
                row = int((~values.isfinite()).any(dim=1).nonzero()[0])
                raise ValueError(
                    f"Expected finite {what} in {self.name} (got NaN or infinity in {part} row"
                    f" {row}). Impute or drop such rows."
                )
        if self.is_regression:
            return
        lowest, highest = int(y.min()), int(y.max())
        if lowest < 0 or highest >= self.num_classes:
            raise ValueError(
                f"Expected {part} classes from 0 to {max(0, self.num_classes - 1)}, the largest to"
                f" train on, in {self.name} (got {lowest} to {highest}). Number classes from 0, and"
                f" leave those out that are not trained on."
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
