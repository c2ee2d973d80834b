from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from pyg_modules._files import read_latest, staged_folder
from pyg_modules._safetensors import import_safetensors, staying, write_tensors
from pyg_modules.train.lightning.tree import from_tree, to_tree

FORMAT_VERSION = 1
_TREE = "checkpoint"
_VERSION = "format_version"


class SafetensorsIO(CheckpointIO):
    """Checkpoints of Lightning as safetensors files, so that loading one runs no code.

    Use ``Trainer(plugins=[SafetensorsIO()])``. A checkpoint is one file: the tensors, and in its
    header everything else as JSON. It is written under another name first, and then renamed: a
    training that is killed leaves the checkpoint before, or the new one.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any | None = None,
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint (dict): Of tensors, numbers, strings, ``None``, and dicts, lists and tuples
                of them.
            path (path): The file, on this machine. Its folder is made if it does not exist.
            storage_options (optional): Not supported.

        Raises:
            TypeError: If there is anything else in the checkpoint, or ``storage_options``.
            ValueError: If the file cannot be written to.
        """
        if storage_options is not None:
            raise TypeError(
                f"Expected no storage_options (got {storage_options!r}). Files are written to this"
                f" machine."
                " Leave them out."
            )
        path = _local(path)
        tree, tensors = to_tree(checkpoint)
        header = {_VERSION: str(FORMAT_VERSION), _TREE: json.dumps(tree)}
        with staged_folder(path.parent) as stage:
            write_tensors(stage / path.name, tensors, header)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any | None = None,
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Read what :meth:`save_checkpoint` wrote.

        Args:
            path (path): The file.
            map_location (optional): Not supported; tensors are on the CPU.
            weights_only (bool, optional): Without effect: no checkpoint contains code.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If there is a ``map_location``.
            ValueError: If the file is truncated, or was not written by this class.
        """
        if map_location is not None:
            raise TypeError(
                f"Expected no map_location (got {map_location!r}). Tensors are loaded on the CPU;"
                f" move them then."
            )
        path = _local(path)
        safetensors = import_safetensors()

        def read(found: Path) -> dict[str, Any]:
            if not found.is_file():
                raise FileNotFoundError(
                    f"Expected a checkpoint (got {path}, where no file is). Correct the path."
                )
            with staying(found), safetensors.safe_open(found, framework="pt") as file:
                header = file.metadata() or {}
                if header.get(_VERSION) != str(FORMAT_VERSION):
                    raise _OtherVersionError(
                        f"Expected {_VERSION} {FORMAT_VERSION} in {path} (got"
                        f" {header.get(_VERSION)}). Load it with the version of pyg_modules that"
                        f" wrote it."
                    )
                checkpoint: dict[str, Any] = from_tree(json.loads(header[_TREE]), file.get_tensor)
            return checkpoint

        try:
            return read_latest(path, read)
        except _OtherVersionError:
            raise
        except (
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
            safetensors.SafetensorError,
        ) as error:
            raise ValueError(
                f"Expected a complete checkpoint of SafetensorsIO in {path} (got: {error}). Take"
                f" another; one that Lightning wrote without this plugin is loaded without it."
            ) from error

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint, if it is there."""
        _local(path).unlink(missing_ok=True)


class _OtherVersionError(ValueError):
    """The file was written by another version."""


def _local(path: str | os.PathLike[str]) -> Path:
    if "://" in str(path):
        raise ValueError(f"Expected a path on this machine (got {path}). Copy checkpoints there.")
    return Path(path)
