from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from inspect import signature
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torch.utils.data._utils.collate import collate, default_collate_fn_map
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import BaseData
from torch_geometric.loader import CachedLoader, PrefetchLoader

from pyg_modules._brief import brief
from pyg_modules.parallel.modular_graph import ModularGraph
from pyg_modules.train.batches import (
    Batches,
    Forward,
    Loaded,
    Rows,
    Source,
    at_mask,
    described,
    known_length,
)

_BATCH_SIZE = 64
# What a model of graphs gets by name, if it takes it and the graph has it.
_OF_EDGES = ("edge_weight", "edge_attr")
_LOADERS = (DataLoader, CachedLoader, PrefetchLoader)


def batches_of(
    data: Any,
    model: nn.Module,
    *,
    part: str,
    forward: Forward | None,
    batch_size: int | None,
    seed: int | None,
) -> Batches:
    """The batches of any data that :func:`fit` takes.

    Args:
        data (object): See :func:`fit`.
        model (torch.nn.Module): The model; its first parameter says the device and the dtype.
        part (str): ``"training"`` or ``"validation"``.
        forward (Callable, optional): See :func:`fit`.
        batch_size (int, optional): Samples of a batch, where ``data`` does not say. (default: 64)
        seed (int, optional): Of the order of the samples; without one, it is that of ``data``.

    Raises:
        TypeError: If ``data`` is of no known kind.
        ValueError: If ``data`` is empty, or its parts do not fit together.
    """
    parameter = next(model.parameters())
    device = parameter.device
    batch_size = batch_size or _BATCH_SIZE
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    if isinstance(data, Dataset) or _is_list_of_graphs(data):
        data = _loader(data, batch_size, generator)
    elif _has_training_part(data):
        if part != "training":
            raise TypeError(
                f"Expected validation data that says no training part (got {described(data)}, with"
                f" train_x). Give a pair, e.g. (data.test_x, data.test_y)."
            )
        data = data.train_x, data.train_y
    source: Source
    if isinstance(data, Data):
        mask = _mask_of(data, "train_mask" if part == "training" else "val_mask")
        # A copy, for Data.to works in place.
        source = [copy(data).to(device)] if bool(mask.any()) else []
        forward = at_mask(forward or _forward_graph, mask.to(device))
    elif isinstance(data, _LOADERS):
        source = Loaded(data) if part == "training" else data
    elif _is_pair(data):
        x, y = (as_tensor(value, parameter.dtype) for value in data)
        if x.dim() == 0 or y.dim() == 0 or len(x) != len(y):
            raise ValueError(
                f"Expected as many targets as inputs (got {list(y.shape)} and {list(x.shape)}),"
                f" one row per sample in both."
                " Give a target for each input."
            )
        source = Rows(x, y, batch_size, generator)
    else:
        raise TypeError(
            f"Expected {part} data that is a pair (x, y) of tensors or arrays, a Dataset or a"
            f" DataLoader, a PyG Data with masks, or a list of graphs, also of one (got"
            f" {described(data)}). Make a pair of arrays of it, e.g. by numpy.asarray; or a"
            f" DataLoader and forward=..."
        )
    if known_length(source) == 0:
        is_dropped = getattr(data, "drop_last", False)
        raise ValueError(
            f"Expected at least one {part} sample (got none)."
            + (
                " Use drop_last=False, which keeps what fills no batch."
                if is_dropped
                else " Add some."
            )
        )
    are_rows = isinstance(source, Rows) and forward is None
    return Batches(source, forward or _forward_pair, device, are_rows=are_rows)


def are_rows(data: Any) -> bool:
    """Whether ``data`` is arrays, which draw nothing when they are read."""
    return _has_training_part(data) or _is_pair(data)


def as_tensor(value: Any, dtype: torch.dtype) -> Tensor:
    """An array of NumPy, pandas or others as a tensor; floats in ``dtype``.

    Raises:
        TypeError: If it has no numbers, or a mask, or is sparse.
    """
    is_sparse = isinstance(value, Tensor) and value.layout != torch.strided
    if is_sparse or isinstance(value, numpy.ma.MaskedArray):
        remedy = "x.to_dense()" if is_sparse else "x.filled(value), or leave these samples out"
        raise TypeError(
            f"Expected dense arrays without a mask (got {getattr(value, 'layout', 'a mask')}). Use"
            f" {remedy}."
        )
    if isinstance(value, Tensor):
        return value
    value = numpy.asarray(value)
    if value.dtype.kind == "O":  # As of columns of pandas that are of several types, or nullable.
        with suppress(ValueError):
            value = numpy.asarray(value.tolist())
    if value.dtype.kind == "O" and _lacks_numbers(value):
        raise TypeError(
            "Expected arrays of numbers (got missing values of pandas). Fill them, or leave these"
            " rows out: x.to_numpy(float, na_value=...), or x.dropna()."
        )
    if value.dtype.kind not in "biuf":
        raise TypeError(
            f"Expected arrays of numbers (got {value.dtype}). Make numbers of texts: of classes"
            f" e.g. by numpy.unique(y, return_inverse=True), of columns e.g. by"
            f" pandas.get_dummies(x)."
        )
    # In the order of bytes and rows that torch takes; floats are float64 if nobody says otherwise.
    value = value.astype(value.dtype.newbyteorder("="), order="C")
    return torch.tensor(value, dtype=dtype if value.dtype.kind == "f" else None, device="cpu")


def makes_its_batches(data: object) -> bool:
    """Whether ``data`` says itself what a batch is."""
    return isinstance(data, (*_LOADERS, Data))


def _has_training_part(data: Any) -> bool:
    return hasattr(data, "train_x") and hasattr(data, "train_y")


def _is_pair(data: Any) -> bool:
    """Whether ``data`` is a pair of tensors, or arrays of NumPy, pandas or others."""
    is_pair = isinstance(data, tuple | list) and len(data) == 2
    return is_pair and all(hasattr(value, "__array__") for value in data)


def _is_list_of_graphs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(graph, BaseData) for graph in data)


def _loader(data: Any, batch_size: int, generator: torch.Generator | None) -> DataLoader[Any]:
    is_iterable = isinstance(data, IterableDataset)
    if not is_iterable and not hasattr(data, "__len__"):
        raise TypeError(
            f"Expected a Dataset with __len__ (got {described(data)}). Add it, or derive from"
            f" IterableDataset."
        )
    # A sampler of nothing could not be made.
    is_shuffled = generator is not None and not is_iterable and len(data) > 0
    return DataLoader(
        data,
        batch_size,
        shuffle=is_shuffled,
        # Else an epoch would draw from the global source.
        generator=generator or torch.Generator().manual_seed(0),
        collate_fn=_collated,
    )


def _collated(samples: list[Any]) -> Any:
    """A batch, with the graphs in it joined, wherever they are."""
    return collate(samples, collate_fn_map={BaseData: _joined, **default_collate_fn_map})


def _joined(graphs: list[BaseData], **_: Any) -> BaseData:
    return Batch.from_data_list(graphs)


def _mask_of(data: Data, name: str) -> Tensor:
    mask = data.get(name)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (data.num_nodes,):
        got = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else brief(mask)
        raise ValueError(
            f"Expected data.{name} to be a bool tensor of all {data.num_nodes} nodes (got {got})."
            f" Set it; graphs that are samples themselves come as a list, with forward=..."
        )
    return mask


def _forward_graph(model: nn.Module, data: Data) -> tuple[Tensor, Tensor]:
    if data.x is None or data.edge_index is None or data.y is None:
        raise ValueError(
            f"Expected a graph with x, edge_index and y (got {data}). Say by forward=... how it"
            f" becomes outputs and targets."
        )
    called = signature(_called(model).forward)
    of_edges = {
        name: data[name]
        for name in _OF_EDGES
        if name in called.parameters and data.get(name) is not None
    }
    try:
        called.bind(data.x, data.edge_index, **of_edges)
    except TypeError as error:
        raise TypeError(
            f"Expected a model of x, edge_index and, by name, what the graph has of"
            f" {' and '.join(_OF_EDGES)} (got a {type(model).__name__} of {called}: {error}). Say"
            f" by forward=... what it is called with, e.g. lambda model, data: (model(data),"
            f" data.y)."
        ) from error
    return model(data.x, data.edge_index, **of_edges), data.y


def _called(model: nn.Module) -> nn.Module:
    """The model whose ``forward`` names what it takes, inside of what takes anything."""
    inside: Any = None
    if type(model).forward is ModularGraph.forward:
        inside = model.parts[0]  # type: ignore[index]
    elif isinstance(model, DistributedDataParallel):
        inside = model.module
    else:
        inside = getattr(model, "_orig_mod", None)
    return model if inside is None else _called(inside)


def _forward_pair(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(
            f"Expected batches (inputs, targets) (got {described(batch)}). Say how one becomes"
            f" outputs and targets, e.g. forward=lambda model, batch: (model(batch.x,"
            f" batch.edge_index, batch.batch), batch.y). One graph of nodes to classify goes in"
            f" itself, with masks: data=dataset[0]."
        )
    inputs, targets = batch
    try:
        return model(inputs), targets
    except TypeError as error:
        missing = _required(model.forward)[1:]
        if not missing:
            raise
        raise TypeError(
            f"Expected a model of one input for pairs of inputs and targets (got a"
            f" {type(model).__name__}, which needs {', '.join(missing)} beside it). Give a PyG Data"
            f" with masks, or say by forward=... what it is called with."
        ) from error


def _required(function: Callable[..., Any]) -> list[str]:
    """The arguments that a call needs, by name."""
    return [
        one.name
        for one in signature(function).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _lacks_numbers(values: numpy.ndarray) -> bool:
    """Whether some objects of pandas stand for missing numbers, and none is a text."""
    are_missing = (one is None or type(one).__name__ == "NAType" for one in values.flat)
    return any(are_missing) and not any(isinstance(one, str) for one in values.flat)
