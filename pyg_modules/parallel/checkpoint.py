"""Checkpoints that all ranks write together, of safetensors and JSON."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from pyg_modules._files import as_path, names_in, read_json, staged_folder, write_json
from pyg_modules._safetensors import import_safetensors, read_tensors, write_tensors
from pyg_modules.ops.sharding import is_sharded
from pyg_modules.structure.optimizer_state import check_optimizes

if TYPE_CHECKING:
    from torch import nn

FORMAT_VERSION = 2
_MANIFEST, _MODULES = "modules.json", "modules-"
_MODEL, _OPTIMIZER = "model", "optimizer"


def save_checkpoint(
    model: nn.Module,
    folder: str | os.PathLike[str],
    optimizer: Optimizer | None,
    manifest: dict[str, Any],
    group: dist.ProcessGroup | None,
) -> None:
    """Write the modules of all ranks, and what their optimizers remember, into ``folder``."""
    import_safetensors()
    folder = as_path("folder", folder)
    rank, num_ranks = dist.get_rank(group), dist.get_world_size(group)
    is_first = rank == 0
    # Where the first rank writes. Names that no other save has can be deleted at any time.
    place: list[str] = [""] * 2
    with ExitStack() as saving:
        with _on_all_ranks(group):
            _check_can_be_kept(model, optimizer)
            if is_first:
                place = [str(saving.enter_context(staged_folder(folder))), secrets.token_hex(8)]
                _check_replaceable(folder)
        dist.broadcast_object_list(place, group=group, group_src=0)
        stage, save = Path(place[0]), place[1]
        files = [f"{_MODULES}{save}-{number}.safetensors" for number in range(num_ranks)]
        with _on_all_ranks(group):
            write_tensors(stage / files[rank], _tensors(model, optimizer))
        # Ranks whose modules are frozen have none.
        names = [_name_of(optimizer)] * num_ranks
        dist.all_gather_object(names, names[rank], group=group)
        with _on_all_ranks(group):
            if is_first:
                name = next(filter(None, names), None)
                settings = {**manifest, "optimizer": name, "files": files}
                write_json(stage / _MANIFEST, {"format_version": FORMAT_VERSION, **settings})
                earlier = list(folder.glob(f"{_MODULES}*.safetensors"))
                saving.close()
                for path in earlier:
                    with suppress(OSError):  # The next save tries again.
                        path.unlink()


def load_checkpoint(
    model: nn.Module,
    folder: str | os.PathLike[str],
    optimizer: Optimizer | None,
    manifest: dict[str, Any],
    group: dist.ProcessGroup | None,
) -> None:
    """Read what :func:`save_checkpoint` wrote into ``model`` and ``optimizer``, in place."""
    folder = as_path("folder", folder)
    with _on_all_ranks(group):
        files = _check(folder, optimizer, manifest)
        _check_can_be_kept(model, optimizer)
        tensors = _read(folder, files, model, with_optimizer=optimizer is not None)
    prefix = f"{_MODEL}."
    state = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    # Not strict: the manifest has told the edges from others, and no tensor does.
    model.load_state_dict(state, strict=False)
    if optimizer is None:
        return
    names = {parameter: name for name, parameter in model.named_parameters()}
    for settings in optimizer.param_groups:
        # Counts of steps stay on the CPU, unless kernels of the device read them.
        moves_all = bool(settings.get("fused") or settings.get("capturable"))
        # Others are of what is around the modules.
        for parameter in filter(names.__contains__, settings["params"]):
            prefix = f"{_OPTIMIZER}.{names[parameter]}."
            optimizer.state[parameter] = {
                key.removeprefix(prefix): _placed(value, parameter, moves_all=moves_all)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }


def _placed(value: Tensor, parameter: Tensor, *, moves_all: bool) -> Tensor:
    """What an optimizer remembers of ``parameter``, where it is, and in its precision."""
    if value.shape == parameter.shape and value.is_floating_point():
        return value.to(parameter)
    return value.to(parameter.device) if value.dim() or moves_all else value


def _check_can_be_kept(model: nn.Module, optimizer: Optimizer | None) -> None:
    """Raise unless all of ``model``, and what ``optimizer`` remembers of it, are whole tensors."""
    parameters = dict(model.named_parameters())
    if any(map(is_sharded, parameters.values())):
        raise ValueError(
            "Expected whole parameters (got DTensors, of which other ranks hold a part). Save and"
            " load before fully_shard, or use torch.distributed.checkpoint."
        )
    if optimizer is None:
        return
    check_optimizes(optimizer, parameters, "model")
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor | None):
                raise ValueError(
                    f"Expected an optimizer that remembers tensors (got {key!r} of {name}, a"
                    f" {type(value).__name__}). Save without optimizer=, and the state of"
                    f" {type(optimizer).__name__} beside it."
                )


@contextmanager
def _on_all_ranks(group: dist.ProcessGroup | None) -> Iterator[None]:
    """Raise on every rank what is raised on one, so that none waits for another.

    Raises:
        ValueError: If there was an error of that kind on any rank, its message.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    messages: list[str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(messages, None if error is None else str(error), group=group)
    if error is not None:
        raise error
    for rank, message in enumerate(messages):
        if message is not None:
            raise ValueError(f"On rank {rank}: {message}")


def _check_replaceable(folder: Path) -> None:
    """Raise unless ``folder`` is an earlier checkpoint, or empty."""
    if names_in(folder) and not (folder / _MANIFEST).is_file():
        raise ValueError(
            f"Expected an earlier checkpoint, an empty folder or none (got something else in"
            f" {folder}). Name another folder: this one would be mixed up with it."
        )


def _read(
    folder: Path, files: list[str], model: nn.Module, *, with_optimizer: bool
) -> dict[str, Tensor]:
    """Those of the tensors that belong to the parameters of ``model``, by name."""
    shapes = {f"{_MODEL}.{name}": value.shape for name, value in model.named_parameters()}
    # Masks, too, which only some modules have.
    prefixes = [
        f"{_MODEL}.{name}." for name, each in model.named_modules() if hasattr(each, "edge_masks")
    ]
    prefixes += [f"{_OPTIMIZER}.{name}." for name, _ in model.named_parameters() if with_optimizer]
    tensors: dict[str, Tensor] = {}
    try:
        for file in files:
            tensors |= {
                name: value
                for name, value in read_tensors(folder / Path(file).name).items()
                if name.startswith(tuple(prefixes))
            }
        for name, shape in shapes.items():
            if name not in tensors:
                raise ValueError(f"no {name}")
            if tensors[name].shape != shape:
                raise ValueError(f"{name} of shape {list(tensors[name].shape)}")
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a complete checkpoint in {folder} (got: {error}). A file is missing or"
            f" truncated; copy it again, or take an earlier checkpoint."
        ) from error
    return tensors


def _tensors(model: nn.Module, optimizer: Optimizer | None) -> dict[str, Tensor]:
    """The state of the modules of this rank and what its optimizer remembers, by name."""
    tensors: dict[str, Tensor] = {
        f"{_MODEL}.{name}": value
        for name, value in model.state_dict().items()
        if not name.endswith("_extra_state")  # The manifest tells the edges from others.
    }
    if optimizer is not None:
        tensors |= {
            f"{_OPTIMIZER}.{name}.{key}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }
    # Tensors of one file may not share memory.
    return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def _check(folder: Path, optimizer: Optimizer | None, manifest: dict[str, Any]) -> list[str]:
    """The names of the files of the checkpoint, if it is one for these modules."""
    try:
        found = read_json(folder / _MANIFEST)
        if not isinstance(found, dict):
            raise ValueError(f"{type(found).__name__} in {_MANIFEST}")
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
    if optimizer is not None and found.get("optimizer") != _name_of(optimizer):
        raise ValueError(
            f"Expected a checkpoint with the state of {_name_of(optimizer)} (got one with"
            f" {found.get('optimizer') or 'that of no optimizer'}, in {folder}). Load it without"
            f" optimizer=, or save it with this one."
        )
    files = found.get("files")
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ValueError(
            f"Expected the names of the files of a checkpoint in {folder / _MANIFEST} (got"
            f" {files!r}). Copy it again, or take an earlier checkpoint."
        )
    return files


def _name_of(optimizer: Optimizer | None) -> str | None:
    return None if optimizer is None else type(optimizer).__name__
