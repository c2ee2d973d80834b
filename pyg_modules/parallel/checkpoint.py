"""Checkpoints that all ranks write together, of safetensors and JSON."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from pyg_modules._files import write_json
from pyg_modules._safetensors import import_safetensors
from pyg_modules.modules.optimizer_state import check_optimizes

if TYPE_CHECKING:
    from torch import nn

FORMAT_VERSION = 1
_MANIFEST = "modules.json"
_MODEL, _OPTIMIZER = "model", "optimizer"


def save_checkpoint(
    model: nn.Module,
    folder: str | os.PathLike[str],
    optimizer: Optimizer | None,
    manifest: dict[str, Any],
    group: dist.ProcessGroup | None,
) -> None:
    """Write the parameters of all ranks, and what their optimizers remember, into ``folder``."""
    import_safetensors()
    folder = Path(folder)
    stage = folder.with_name(f".unfinished-{folder.name}")
    is_first = dist.get_rank(group) == 0
    with _on_all_ranks(group):
        if optimizer is not None:
            check_optimizes(optimizer, dict(model.named_parameters()), "model")
        if is_first:
            _make_stage(stage, folder)
    writer = HuggingFaceStorageWriter(str(stage), save_distributed=True)
    save(_tensors(model, optimizer), storage_writer=writer, process_group=group)
    with _on_all_ranks(group):
        if is_first:
            settings = {
                "format_version": FORMAT_VERSION,
                **manifest,
                "optimizer": _name_of(optimizer),
            }
            _finish(stage, folder, settings)


def load_checkpoint(
    model: nn.Module,
    folder: str | os.PathLike[str],
    optimizer: Optimizer | None,
    manifest: dict[str, Any],
    group: dist.ProcessGroup | None,
) -> None:
    """Read what :func:`save_checkpoint` wrote into ``model`` and ``optimizer``, in place."""
    folder = Path(folder)
    with _on_all_ranks(group):
        _check(folder, optimizer, manifest)
        if optimizer is not None:
            check_optimizes(optimizer, dict(model.named_parameters()), "model")
        tensors = _read(folder, model, with_optimizer=optimizer is not None)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"{_MODEL}.{name}"])
    if optimizer is None:
        return
    names = {parameter: name for name, parameter in model.named_parameters()}
    for settings in optimizer.param_groups:
        # Counts of steps stay on the CPU, unless kernels of the device read them.
        moves_all = settings.get("fused") or settings.get("capturable")
        for parameter in settings["params"]:
            prefix = f"{_OPTIMIZER}.{names[parameter]}."
            optimizer.state[parameter] = {
                key.removeprefix(prefix): value.to(parameter.device)
                if value.dim() or moves_all
                else value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }


@contextmanager
def _on_all_ranks(group: dist.ProcessGroup | None) -> Iterator[None]:
    """Raise on every rank what is raised on one, so that none waits for another.

    Raises:
        ValueError: If there was an error of that kind on any rank, its message.
    """
    error: ValueError | TypeError | None = None
    try:
        yield
    except (ValueError, TypeError) as raised:
        error = raised
    messages: list[str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(messages, None if error is None else str(error), group=group)
    if error is not None:
        raise error
    for rank, message in enumerate(messages):
        if message is not None:
            raise ValueError(f"On rank {rank}: {message}")


def _make_stage(stage: Path, folder: Path) -> None:
    """An empty folder ``stage`` beside ``folder``, if that may be replaced."""
    is_checkpoint = (folder / _MANIFEST).is_file()
    try:
        if folder.exists() and not is_checkpoint and (folder.is_file() or any(folder.iterdir())):
            raise ValueError(
                f"Expected an earlier checkpoint, an empty folder or none (got something else in"
                f" {folder}). Name another folder: this one would be replaced as a whole."
            )
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
    except OSError as error:
        raise _not_writable(folder, error) from error


def _finish(stage: Path, folder: Path, settings: dict[str, Any]) -> None:
    """Put the folder ``stage`` in the place of ``folder``."""
    before = folder.with_name(f".before-{folder.name}")
    try:
        write_json(stage / _MANIFEST, settings)
        if folder.exists():
            os.replace(folder, before)
        os.replace(stage, folder)
    except OSError as error:
        raise _not_writable(folder, error) from error
    shutil.rmtree(before, ignore_errors=True)


def _not_writable(folder: Path, error: OSError) -> ValueError:
    return ValueError(
        f"Expected a folder to write to (got {folder}: {error.strerror}). Name another folder."
    )


def _read(folder: Path, model: nn.Module, *, with_optimizer: bool) -> dict[str, Tensor]:
    """Those of the tensors that belong to the parameters of ``model``, by name."""
    names = [name for name, _ in model.named_parameters()]
    wanted = [f"{_MODEL}.{name}" for name in names]
    prefixes = [f"{_OPTIMIZER}.{name}." for name in names] if with_optimizer else []
    try:
        reader = HuggingFaceStorageReader(str(folder))
        tensors = {
            key: torch.empty(saved.size, dtype=saved.properties.dtype, device="cpu")
            for key, saved in reader.read_metadata().state_dict_metadata.items()
            if isinstance(saved, TensorStorageMetadata)
            and (key in wanted or key.startswith(tuple(prefixes)))
        }
        missing = [key for key in wanted if key not in tensors]
        if missing:
            raise ValueError(f"no {missing[0]}")
        # Every rank by itself, so that one without a file does not let the others wait.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(tensors, storage_reader=reader, no_dist=True)
    except (OSError, ValueError, import_safetensors().SafetensorError) as error:
        raise ValueError(
            f"Expected a complete checkpoint in {folder} (got: {error}). A file is missing or"
            f" truncated; copy it again, or take an earlier checkpoint."
        ) from error
    return tensors


def _tensors(model: nn.Module, optimizer: Optimizer | None) -> dict[str, Tensor]:
    """The parameters of this rank and what its optimizer remembers, by name."""
    tensors = {f"{_MODEL}.{name}": value.detach() for name, value in model.named_parameters()}
    if optimizer is not None:
        tensors |= {
            f"{_OPTIMIZER}.{name}.{key}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }
    return tensors


def _check(folder: Path, optimizer: Optimizer | None, manifest: dict[str, Any]) -> None:
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected a checkpoint in {folder} (got {error}). Write one with model.save(folder)."
        ) from error
    if found.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"Expected format_version {FORMAT_VERSION} in {folder / _MANIFEST} (got"
            f" {found.get('format_version')!r}). Load it with the version that wrote it."
        )
    if {name: found.get(name) for name in manifest} != manifest:
        raise ValueError(
            f"Expected a checkpoint of these {manifest['num_modules']} modules (got one of"
            f" {found.get('num_modules')} others, in {folder}). Build the modules from the same"
            f" partition: the same graph, labels, solver and activation."
        )
    if optimizer is not None and found["optimizer"] != _name_of(optimizer):
        raise ValueError(
            f"Expected a checkpoint with the state of {_name_of(optimizer)} (got one with"
            f" {found['optimizer'] or 'that of no optimizer'}, in {folder}). Load it without"
            f" optimizer=, or save it with this one."
        )


def _name_of(optimizer: Optimizer | None) -> str | None:
    return None if optimizer is None else type(optimizer).__name__
