"""A layer as a folder: ``config.json`` and ``model.safetensors``, no pickle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pyg_modules._files import as_path, digest_of, read_json, staged_folder, write_json
from pyg_modules._safetensors import import_safetensors, read_tensors, write_tensors
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.origin import Origin
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.ops.sharding import whole
from pyg_modules.solve.solver import Solver, solver_from_config, solver_to_config

FORMAT_VERSION = 1
_CONFIG = "config.json"
_TENSORS = "model.safetensors"
_FIRST_KIND = "SynchronousGraph"  # Earlier versions knew no other, and did not write it.
# What a configuration has beside the settings of the layer.
_OTHERS = (
    "format_version",
    "num_units",
    "num_inputs",
    "num_outputs",
    "num_edges",
    "solver",
    "activation",
    "module",
    "sha256",
)
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class StoredLayer(Protocol):
    """What is kept of a layer."""

    kind: ClassVar[str]
    graph: UnitGraph
    solver: Solver
    row_shape: tuple[int, ...]
    weight: nn.Parameter
    bias: nn.Parameter | None
    labels: Tensor | None
    edge_masks: ClassVar[tuple[str, ...]]
    origin: Origin | None
    dynamics: UnitDynamics

    def checked_config(self) -> dict[str, Any]:
        """The settings it is made with, beside graph and solver."""


Layer = TypeVar("Layer", bound=StoredLayer)


def save_layer(layer: StoredLayer, folder: str | os.PathLike[str]) -> None:
    """Write ``layer`` into ``folder``."""
    import_safetensors()
    graph = layer.graph
    config = {
        "format_version": FORMAT_VERSION,
        "num_units": graph.num_units,
        "num_inputs": graph.num_inputs,
        "num_outputs": graph.num_outputs,
        "num_edges": graph.num_edges,
        "layer": layer.kind,
        "solver": solver_to_config(layer.solver),
        **layer.checked_config(),
    }
    tensors = {"edge_index": graph.edge_index, "weight": whole(layer.weight).detach()}
    if layer.bias is not None:
        tensors["bias"] = whole(layer.bias).detach()
    for name, parameter in layer.dynamics.named_parameters():
        tensors[f"dynamics.{name}"] = whole(parameter).detach()
    if layer.labels is not None:
        tensors["labels"] = layer.labels
    for name in layer.edge_masks:
        if getattr(layer, name) is not None:
            tensors[name] = getattr(layer, name)
    if layer.origin is not None:
        config["module"] = layer.origin.module
        tensors |= {
            f"origin.{name}": value
            for name, value in layer.origin._asdict().items()
            if name != "module"
        }
    with staged_folder(folder) as stage:
        write_tensors(stage / _TENSORS, tensors)
        write_json(stage / _CONFIG, {**config, "sha256": digest_of(stage / _TENSORS)})


def load_layer(kinds: Mapping[str, Callable[..., Layer]], folder: str | os.PathLike[str]) -> Layer:
    """The layer that :func:`save_layer` wrote into ``folder``.

    Args:
        kinds (dict): The classes that it may be of, by name.
        folder (path): The folder.
    """
    folder = as_path("folder", folder)
    config = _read_config(folder)
    kind = config.pop("layer", _FIRST_KIND)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(
            f"Expected a saved {' or '.join(kinds)} in {folder} (got a {kind}). Use {kind}.load."
        )
    try:
        tensors = read_tensors(folder / _TENSORS)
        digest = digest_of(folder / _TENSORS)
    except (OSError, ValueError) as error:
        raise _unreadable(folder / _TENSORS, error) from error
    try:
        layer = _made_of(kinds[kind], config, tensors)
        _fill(layer, config, tensors)
        # Earlier versions did not write it.
        if config.get("sha256", digest) != digest:
            raise ValueError(f"{_TENSORS} of another save")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected {_CONFIG} and {_TENSORS} of one model in {folder} (got {error}). Copy both"
            f" files from the same save."
        ) from error
    return layer


def _made_of(
    make: Callable[..., Layer], config: dict[str, Any], tensors: dict[str, Tensor]
) -> Layer:
    """A layer of the graph and the settings that were saved, with other weights yet."""
    weight, bias = tensors["weight"], tensors.get("bias")
    if weight.dtype not in _DTYPES:
        raise ValueError(f"weights of {weight.dtype}")
    counts = config["num_units"], config["num_inputs"], config["num_outputs"]
    graph = UnitGraph(tensors["edge_index"], *counts)
    if graph.num_edges != config["num_edges"]:
        raise ValueError(f"{graph.num_edges} edges instead of {config['num_edges']}")
    # Before anything is made of that size.
    if weight.shape[:1] != (graph.num_edges,):
        raise ValueError(f"weight of shape {list(weight.shape)}")
    if bias is not None and bias.shape != (graph.num_hidden + graph.num_outputs,):
        raise ValueError(f"bias of shape {list(bias.shape)}")
    settings = {name: value for name, value in config.items() if name not in _OTHERS}
    return make(
        graph,
        solver=solver_from_config(config["solver"]),
        activation=config["activation"],
        **settings,
        dtype=weight.dtype,
        device="cpu",  # Whatever the default is.
        generator=torch.Generator("cpu"),  # They are overwritten.
    )


def _fill(layer: StoredLayer, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Give ``layer`` the numbers that were saved."""
    graph, weight, bias = layer.graph, tensors["weight"], tensors.get("bias")
    if weight.shape != layer.weight.shape:
        raise ValueError(f"weight of shape {list(weight.shape)}")
    if (layer.bias is None) is not (bias is None):
        raise ValueError(f"{'no ' if bias is None else ''}bias")
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
        for name, parameter in layer.dynamics.named_parameters():
            key = f"dynamics.{name}"
            parameter.copy_(_checked(tensors, key, parameter.dtype, graph.num_hidden))
    if "labels" in tensors:
        layer.labels = checked_labels(tensors["labels"], graph.num_units)
    for name in layer.edge_masks:
        if name in tensors:
            setattr(layer, name, _checked(tensors, name, torch.bool, graph.num_edges))
    if "module" in config:
        layer.origin = Origin(
            int(config["module"]),
            _checked(tensors, "origin.unit_ids", torch.int64, graph.num_units),
            _checked(tensors, "origin.labels", torch.int64, graph.num_units),
            _checked(tensors, "origin.edge_ids", torch.int64, graph.num_edges),
        )


def checked_labels(labels: Tensor, num_units: int) -> Tensor:
    """``labels``, if they can be those of so many units.

    Raises:
        ValueError: If they are of another type or length, or out of range.
    """
    labels = _checked({"labels": labels}, "labels", torch.int64, num_units)
    if bool(((labels < -1) | (labels >= max(1, num_units))).any()):
        raise ValueError(f"labels up to {int(labels.abs().max())}")
    return labels


def _checked(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, length: int) -> Tensor:
    tensor = tensors[name]
    if tensor.dtype != dtype or tensor.shape != (length,):
        raise ValueError(f"{name} of {tensor.dtype} and shape {list(tensor.shape)}")
    return tensor


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        is_folder = folder.is_dir()
        config = read_json(folder / _CONFIG) if is_folder else None
    except (OSError, ValueError) as error:
        raise _unreadable(folder / _CONFIG, error) from error
    if not is_folder:
        raise ValueError(
            f"Expected the folder of a saved model (got {folder}, which is"
            f" {'a file' if folder.exists() else 'not there'}). Write one with layer.save(folder)."
        )
    found: dict[str, Any] = config if isinstance(config, dict) else {}
    version = found.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"Expected format_version {FORMAT_VERSION} in {folder / _CONFIG} (got {version!r})."
            f" Load it with the version of pyg_modules that wrote it, and save it again."
        )
    return found


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Expected a complete file {path} (got: {error}). It is missing or truncated; copy it"
        f" again, or save the model again."
    )
