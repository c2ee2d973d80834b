"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def staged_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder whose files move into ``folder`` when the block ends without an error.

    Those in folders of it move into folders of the same name.

    Args:
        folder (path): Where the files end. It is made if it does not exist; files of other names
            in it are left alone.

    Raises:
        ValueError: If ``folder`` has no name, is a file, or cannot be written to.
    """
    if not os.fspath(folder):
        raise ValueError("Expected the name of a folder (got an empty one).")
    folder = Path(folder)
    stage = _new_folder_in(folder)
    try:
        yield stage
        _check_nothing_in_the_way(folder, stage)
        for path in _files_in(stage):
            target = folder / path.relative_to(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    finally:
        shutil.rmtree(stage)


def make_folder(folder: Path) -> None:
    """Make ``folder`` if it does not exist, and raise unless files can be written into it."""
    _new_folder_in(folder).rmdir()


def _new_folder_in(folder: Path) -> Path:
    _check_no_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    except OSError as error:
        raise ValueError(
            f"Expected a folder to write to (got {folder}: {error.strerror}). Name another folder."
        ) from error


def _check_no_file(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise ValueError(
                    f"Expected a folder (got the file {path}). Name another folder, or move the"
                    f" file."
                )
            return


def _check_nothing_in_the_way(folder: Path, stage: Path) -> None:
    """Raise before the first file moves, so that a result is never half of one run."""
    for path in _files_in(stage):
        target = folder / path.relative_to(stage)
        if target.is_dir():
            raise ValueError(
                f"Expected to write the file {target} (got a folder of that name). Move it, or name"
                f" another folder."
            )
        _check_no_file(target.parent)


def _files_in(stage: Path) -> list[Path]:
    return sorted(path for path in stage.rglob("*") if path.is_file())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
