"""Files of tensors, without pickle; an extra."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from pyg_modules._files import check_file, read_latest


def import_safetensors() -> Any:
    """The package ``safetensors``, with its module ``torch``.

    Raises:
        ImportError: If safetensors is not installed.
    """
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "Saving and loading need safetensors: pip install 'pyg-modules[train]'"
        ) from error
    return safetensors


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], header: dict[str, str] | None = None
) -> None:
    """Write ``tensors``, none of which share memory, and strings by name.

    Raises:
        OSError: If the file cannot be written to.
    """
    safetensors = import_safetensors()
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.touch()
    mode = path.stat().st_mode  # That of a new file; safetensors would keep others from reading it.
    try:
        safetensors.torch.save_file(on_cpu, path, header)
    except safetensors.SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    path.chmod(mode)


@contextmanager
def staying(path: Path) -> Iterator[None]:
    """Raise a ``FileNotFoundError`` if a writer moves the file to its place in the meantime.

    It is opened twice, and torch has another error for a file that is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if path.exists():
            raise
        raise FileNotFoundError(str(path)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in the file ``path``, the latest of its folder, on the CPU.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is truncated, or something else.
    """
    safetensors = import_safetensors()

    def read(path: Path) -> dict[str, Tensor]:
        check_file(path)
        with staying(path):
            tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
        return tensors

    try:
        return read_latest(path, read)
    # Those that are no SafetensorError are of torch, about types and sizes in the header.
    except (LookupError, RuntimeError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(str(error)) from error
