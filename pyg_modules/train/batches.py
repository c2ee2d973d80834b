"""The batches of an epoch, of every kind of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from torch_geometric.data.data import BaseData

#: From a model and a batch to outputs and targets.
Forward = Callable[[nn.Module, Any], tuple[Tensor, Tensor]]

# Rows are run together up to so many numbers of inputs where no step is made between them.
_TOGETHER = 2**16
# What torch says of two floats that differ.
_OF_DTYPES = ("the same dtype", "expected scalar type", "should be the same")


class Source(Protocol):
    """Batches that can be iterated once per epoch, such as a list of them."""

    def __len__(self) -> int:
        """Number of batches."""

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch."""


class Batches:
    """Batches, and how one becomes outputs and targets.

    Args:
        source (Source): The batches.
        forward (Callable): From the model and a batch to outputs and targets.
        device (torch.device): That of the model, to which batches are moved.
        are_rows (bool, optional): Whether they are pairs of tensors, and several may be one.
            (default: ``False``)
    """

    def __init__(
        self, source: Source, forward: Forward, device: torch.device, *, are_rows: bool = False
    ) -> None:
        self._source, self._forward, self._device = source, forward, device
        self._are_rows = are_rows

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._source
        except TypeError as error:
            if "torch_geometric.data" not in str(error):
                raise
            raise TypeError(
                f"Expected a loader that makes batches of graphs (got: {error}). Use"
                f" torch_geometric.loader.DataLoader."
            ) from error

    def again(self) -> Iterator[Any]:
        """The batches of the latest epoch, where their order is ours; else those of another."""
        source = self._source
        return source.again() if isinstance(source, Rows) else iter(self)

    def first(self, number: int) -> Batches:
        """The first of the batches, so many; of several epochs, if one has fewer."""
        source = FirstBatches(self._source, number)
        return Batches(source, self._forward, self._device, are_rows=self._are_rows)

    def joined(self) -> Iterator[Any]:
        """The same samples in fewer batches where rows are few numbers: calls are what costs."""
        if not self._are_rows:
            yield from self
            return
        together: list[Any] = []
        for batch in self:
            if sum(x.numel() for x, _ in together) + batch[0].numel() > _TOGETHER and together:
                yield tuple(map(torch.cat, zip(*together, strict=True)))
                together = []
            together.append(batch)
        yield tuple(map(torch.cat, zip(*together, strict=True)))

    def run(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Outputs and targets.

        Raises:
            TypeError: If ``forward`` returns something else, or the dtypes do not fit together.
            ValueError: If BatchNorm has a single sample to normalize.
        """
        try:
            result = self._forward(model, _on_device(batch, self._device))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "Expected more than one sample in every batch, as BatchNorm needs (got one: the"
                " last sample is alone in its batch). Choose another batch_size, or drop_last=True"
                " of a loader."
            ) from error
        except RuntimeError as error:
            if not any(said in str(error) for said in _OF_DTYPES):
                raise
            dtype = next(model.parameters()).dtype
            got = ", ".join(str(part.dtype) for part in _tensors(batch))
            raise TypeError(
                f"Expected inputs that are {dtype}, as the model (got a batch of {got}). Use"
                f" x.to({dtype}), or model.to of the dtype of the inputs."
            ) from error
        return _outputs_and_targets(result)

    def are_finite(self) -> bool:
        """Whether no batch holds NaN or infinity."""
        tensors = (part for batch in self.again() for part in _tensors(batch))
        return all(bool(part.isfinite().all()) for part in tensors)


class Rows:
    """Batches of rows of inputs and targets.

    Args:
        x (Tensor): Inputs, ``[num_samples, ...]``.
        y (Tensor): Targets, ``[num_samples, ...]``.
        batch_size (int): Rows of a batch; the last one may have fewer.
        generator (torch.Generator, optional): Of the order; without, it is that of the rows.
    """

    def __init__(
        self, x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator | None
    ) -> None:
        self._x, self._y = x, y
        self._batch_size, self._generator = batch_size, generator
        self._order = torch.arange(len(x), device="cpu")

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._generator is not None:
            self._order = torch.randperm(len(self._x), generator=self._generator, device="cpu")
        return self.again()

    def again(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches in the order of the latest epoch."""
        for index in torch.split(self._order.to(self._x.device), self._batch_size):
            yield self._x[index], self._y[index]


class Loaded:
    """The batches of a loader, as many in every epoch.

    Args:
        loader (Source): A loader of torch, or of PyG. If its length is not known, it is iterated
            once to count.
    """

    def __init__(self, loader: Source) -> None:
        self._loader = loader
        length = known_length(loader)
        self._length = sum(1 for _ in loader) if length is None else length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        number = 0
        for number, batch in enumerate(self._loader, start=1):
            if number > self._length:
                break
            yield batch
        if number != self._length:
            raise ValueError(
                f"Expected {self._length} batches in every epoch (got"
                f" {'more' if number > self._length else number}). The learning rate of every step"
                f" is set before the first; let the loader make as many each time."
            )


class FirstBatches:
    """The first batches of a source; of several epochs, if one has fewer.

    Args:
        source (Source): Where they are from.
        number (int): How many.
    """

    def __init__(self, source: Source, number: int) -> None:
        self._source, self._number = source, number

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Any]:
        missing = self._number
        while missing > 0:
            for batch in islice(self._source, missing):
                missing -= 1
                yield batch


def known_length(loader: Source) -> int | None:
    """Number of batches; ``None`` where it is not known, or by workers together only."""
    if isinstance(getattr(loader, "dataset", None), IterableDataset):
        return None
    try:
        return len(loader)
    except (NotImplementedError, TypeError, ValueError):  # As of a sampler of batches.
        return None


def at_mask(forward: Forward, mask: Tensor) -> Forward:
    """From the outputs and targets of all nodes to those of a mask, bool, ``[num_nodes]``."""

    def forward_at_mask(model: nn.Module, data: Any) -> tuple[Tensor, Tensor]:
        outputs, targets = _outputs_and_targets(forward(model, data))
        if not len(outputs) == len(targets) == len(mask):
            raise ValueError(
                f"Expected outputs and targets of all {len(mask)} nodes (got {len(outputs)} and"
                f" {len(targets)}). The mask is applied to what forward returns."
                " Return all of them."
            )
        return outputs[mask], targets[mask]

    return forward_at_mask


def described(value: object) -> str:
    """The type of ``value``, and those of its parts, for messages."""
    if isinstance(value, tuple | list) and 0 < len(value) <= 3:
        return f"{type(value).__name__} of {', '.join(type(part).__name__ for part in value)}"
    return type(value).__name__


def _outputs_and_targets(result: Any) -> tuple[Tensor, Tensor]:
    is_pair = isinstance(result, tuple | list) and len(result) == 2
    if not is_pair or not all(isinstance(part, Tensor) for part in result):
        raise TypeError(
            f"Expected a pair of tensors, outputs and targets (got {described(result)}). Say by"
            f" forward=... how a batch becomes both, e.g. lambda model, batch: (model(batch.x),"
            f" batch.y)."
        )
    outputs, targets = result
    if outputs.dim() == targets.dim() == 0:  # Of a single sample, squeezed.
        return outputs.view(1), targets.view(1)
    return outputs, targets


def _on_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple | list):
        parts = [_on_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else parts
    if isinstance(batch, dict):
        return {name: _on_device(part, device) for name, part in batch.items()}
    return batch.to(device) if hasattr(batch, "to") else batch


def _tensors(batch: Any) -> list[Tensor]:
    """The dense tensors of a batch of any kind."""
    if isinstance(batch, BaseData):
        batch = batch.to_dict()
    parts = batch.values() if isinstance(batch, dict) else batch
    if isinstance(batch, dict | tuple | list):
        return [tensor for part in parts for tensor in _tensors(part)]
    return [batch] if isinstance(batch, Tensor) and batch.layout == torch.strided else []
