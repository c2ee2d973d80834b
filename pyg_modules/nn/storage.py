"""A layer as a folder: ``config.json`` and ``model.safetensors``, no pickle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pyg_modules._files import digest_of, read_json, staged_folder, write_json
from pyg_modules._safetensors import import_safetensors, read_tensors, write_tensors
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.origin import Origin
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.ops.sharding import whole
from pyg_modules.solve.solver import Solver, solver_from_config, solver_to_config

FORMAT_VERSION = 1
_CONFIG = "config.json"
_TENSORS = "model.safetensors"
_DYNAMICS = ("dropout", "update_rate", "learn_update_rate")
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class StoredLayer(Protocol):
    """What is kept of a layer."""

    graph: UnitGraph
    solver: Solver
    weight: nn.Parameter
    bias: nn.Parameter
    labels: Tensor | None
    edge_mask: Tensor | None
    origin: Origin | None
    dynamics: UnitDynamics

    @property
    def backend(self) -> str:
        """How the weighted sums are computed."""


Layer = TypeVar("Layer", bound=StoredLayer)


def save_layer(layer: StoredLayer, folder: str | os.PathLike[str]) -> None:
    """Write ``layer`` into ``folder``."""
    import_safetensors()
    graph, weight, bias = layer.graph, whole(layer.weight), whole(layer.bias)
    config = {
        "format_version": FORMAT_VERSION,
        "num_units": graph.num_units,
        "num_inputs": graph.num_inputs,
        "num_outputs": graph.num_outputs,
        "num_edges": graph.num_edges,
        "solver": solver_to_config(layer.solver),
        **layer.dynamics.config(),
        "backend": layer.backend,
    }
    tensors = {
        "edge_index": graph.edge_index,
        "weight": weight.detach(),
        "bias": bias.detach(),
    }
    for name, parameter in layer.dynamics.named_parameters():
        tensors[f"dynamics.{name}"] = whole(parameter).detach()
    if layer.labels is not None:
        tensors["labels"] = layer.labels
    if layer.edge_mask is not None:
        tensors["edge_mask"] = layer.edge_mask
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


def load_layer(cls: Callable[..., Layer], folder: str | os.PathLike[str]) -> Layer:
    """The layer that :func:`save_layer` wrote into ``folder``."""
    folder = Path(folder)
    config = _read_config(folder)
    try:
        tensors = read_tensors(folder / _TENSORS)
        digest = digest_of(folder / _TENSORS)
    except (OSError, ValueError) as error:
        raise _unreadable(folder / _TENSORS, error) from error
    try:
        if tensors["weight"].dtype not in _DTYPES:
            raise ValueError(f"weights of {tensors['weight'].dtype}")
        counts = config["num_units"], config["num_inputs"], config["num_outputs"]
        graph = UnitGraph(tensors["edge_index"], *counts)
        # Before anything is made of that size.
        sizes = {"weight": graph.num_edges, "bias": graph.num_hidden + graph.num_outputs}
        for name, size in sizes.items():
            if tensors[name].shape != (size,):
                raise ValueError(f"{name} of shape {list(tensors[name].shape)}")
        layer = cls(
            graph,
            solver=solver_from_config(config["solver"]),
            activation=config["activation"],
            # Earlier versions did not write them.
            **{name: config[name] for name in _DYNAMICS if name in config},
            backend=config["backend"],
            dtype=tensors["weight"].dtype,
            generator=torch.Generator("cpu"),  # They are overwritten.
        )
        if graph.num_edges != config["num_edges"]:
            raise ValueError(f"{graph.num_edges} edges instead of {config['num_edges']}")
        with torch.no_grad():
            layer.weight.copy_(tensors["weight"])
            layer.bias.copy_(tensors["bias"])
            for name, parameter in layer.dynamics.named_parameters():
                key = f"dynamics.{name}"
                parameter.copy_(_checked(tensors, key, parameter.dtype, graph.num_hidden))
        if "labels" in tensors:
            layer.labels = checked_labels(tensors["labels"], graph.num_units)
        if "edge_mask" in tensors:
            layer.edge_mask = _checked(tensors, "edge_mask", torch.bool, graph.num_edges)
        if "module" in config:
            layer.origin = Origin(
                int(config["module"]),
                _checked(tensors, "origin.unit_ids", torch.int64, graph.num_units),
                _checked(tensors, "origin.labels", torch.int64, graph.num_units),
                _checked(tensors, "origin.edge_ids", torch.int64, graph.num_edges),
            )
        # Earlier versions did not write it.
        if config.get("sha256", digest) != digest:
            raise ValueError(f"{_TENSORS} of another save")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected {_CONFIG} and {_TENSORS} of one model in {folder} (got {error}). Copy both"
            f" files from the same save."
        ) from error
    return layer


def checked_labels(labels: Tensor, num_units: int) -> Tensor:
    """``labels``, if they can be those of so many units.

    Raises:
        ValueError: If they are of another type or length, or out of range.
    """
    labels = _checked({"labels": labels}, "labels", torch.int64, num_units)
    if labels.is_meta:
        return labels
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
