"""Batches of every kind of data, on the device of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch_geometric.data import Data

#: From a model and a batch to outputs and targets.
Forward = Callable[[nn.Module, Any], tuple[Tensor, Tensor]]


class Batches(ABC):
    """The batches of an epoch, and how one becomes outputs and targets.

    Args:
        forward (Callable): From the model and a batch to outputs and targets.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    @abstractmethod
    def __len__(self) -> int:
        """Number of batches."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch."""

    def run(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Outputs and targets.

        Raises:
            TypeError: If ``forward`` returns something else.
        """
        result = self._forward(model, batch)
        if not isinstance(result, tuple | list) or [
            isinstance(part, Tensor) for part in result
        ] != [True, True]:
            raise TypeError(
                f"Expected forward to return a pair of tensors, outputs and targets (got"
                f" {described(result)}). E.g. lambda model, batch: (model(batch.x), batch.y)."
            )
        outputs, targets = result
        return outputs, targets


class TensorBatches(Batches):
    """Rows of inputs and targets, ``(x, y)``.

    Args:
        x (Tensor): Inputs, ``[num_samples, ...]``.
        y (Tensor): Targets, ``[num_samples, ...]``.
        batch_size (int): Rows of a batch; the last one may have fewer.
        generator (torch.Generator, optional): Of the order; without, it is that of the rows.
        device (torch.device): Of the model.
        forward (Callable): See :class:`Batches`.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        batch_size: int,
        generator: torch.Generator | None,
        device: torch.device,
        forward: Forward,
    ) -> None:
        super().__init__(forward)
        self._x, self._y = x, y
        self._batch_size = batch_size
        self._generator = generator
        self._device = device

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        num_samples = len(self._x)
        order = torch.arange(num_samples)
        if self._generator is not None:
            order = torch.randperm(num_samples, generator=self._generator)
        for index in torch.split(order.to(self._x.device), self._batch_size):
            yield self._x[index].to(self._device), self._y[index].to(self._device)


class LoaderBatches(Batches):
    """The batches of a loader.

    Args:
        loader (DataLoader): Of torch, or of PyG. If it does not know its length, it is iterated
            once to count.
        device (torch.device): Of the model.
        forward (Callable): See :class:`Batches`.
    """

    def __init__(self, loader: DataLoader[Any], *, device: torch.device, forward: Forward) -> None:
        super().__init__(forward)
        self._loader = loader
        self._device = device
        try:
            self._length = len(loader)
        except TypeError:  # As of an iterable dataset.
            self._length = sum(1 for _ in loader)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        number = 0
        for number, batch in enumerate(self._loader, start=1):
            if number > self._length:
                break
            yield _on_device(batch, self._device)
        if number != self._length:
            raise ValueError(
                f"Expected {self._length} batches in every epoch (got"
                f" {'more' if number > self._length else number}). The learning rate of every step"
                f" is set before the first; let the loader make as many each time."
            )


class GraphBatch(Batches):
    """One graph as the only batch; of its nodes, those of a mask count.

    Args:
        data (Data): The graph.
        mask (Tensor): Which nodes, bool, ``[num_nodes]``.
        device (torch.device): Of the model.
        forward (Callable): To outputs and targets of all nodes.
    """

    def __init__(self, data: Data, mask: Tensor, *, device: torch.device, forward: Forward) -> None:
        super().__init__(forward)
        # A copy, for Data.to works in place.
        self._data = copy(data).to(device)
        self._mask = mask.to(device)

    def __len__(self) -> int:
        return int(self._mask.any())

    def __iter__(self) -> Iterator[Data]:
        yield self._data

    def run(self, model: nn.Module, batch: Data) -> tuple[Tensor, Tensor]:
        """Outputs and targets of the nodes of the mask.

        Raises:
            TypeError: If ``forward`` returns something else than two tensors.
            ValueError: If they are not those of all nodes.
        """
        outputs, targets = super().run(model, batch)
        num_nodes = len(self._mask)
        if not len(outputs) == len(targets) == num_nodes:
            raise ValueError(
                f"Expected outputs and targets of all {num_nodes} nodes (got {len(outputs)} and"
                f" {len(targets)}). The mask is applied to what forward returns."
            )
        return outputs[self._mask], targets[self._mask]


def described(value: object) -> str:
    """The type of ``value``, and those of its parts, for messages."""
    if isinstance(value, tuple | list) and len(value) <= 3:
        parts = ", ".join(type(part).__name__ for part in value)
        return f"{type(value).__name__} of {parts}" if parts else f"an empty {type(value).__name__}"
    return type(value).__name__


def _on_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple | list):
        parts = [_on_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else parts
    if isinstance(batch, dict):
        return {name: _on_device(part, device) for name, part in batch.items()}
    return batch.to(device) if hasattr(batch, "to") else batch
