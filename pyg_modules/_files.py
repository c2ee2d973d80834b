"""Files that are written together, so that nobody finds half of one, or some of two saves.

A save writes into a folder ``.unfinished-*`` of its own, inside the folder where its files end.
Then one rename, to ``.committed``, makes it count, and its files move to their places. A writer
that is killed leaves what nobody reads and the next writer deletes, or a ``.committed``, whose
files are read from there (:func:`read_latest`) until the next writer has moved them. Nobody commits
before all files of the commit before have moved; which process moves them does not matter, so there
are no locks that could be left behind. Files of an earlier result that the new one does not have
are named in a folder ``.removed-*`` of the commit, and count no more from then on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from pyg_modules._brief import brief

_UNFINISHED, _COMMITTED, _REMOVED = ".unfinished-", ".committed", ".removed-"
_OWNER = re.compile(re.escape(_UNFINISHED) + r"(\d+)-([0-9a-f]{8})-(.*)-[^-]*")
#: Tells this process from an earlier one with its number, as in containers that start again.
_TOKEN = secrets.token_hex(4)

Content = TypeVar("Content")


def as_path(name: str, value: object) -> Path:
    """``value`` as a path.

    Raises:
        TypeError: If ``value`` is neither a text nor a path.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(
            f"Expected {name} to be a path (got {type(value).__name__}: {brief(value)})."
            " Give a str or a pathlib.Path."
        )
    return Path(value)


@contextmanager
def staged_folder(folder: str | os.PathLike[str], replaced: Iterable[str] = ()) -> Iterator[Path]:
    """A temporary folder whose files move into ``folder`` when the block ends without an error.

    Those in folders of it move into folders of the same name. Whatever happens, files of the same
    names in ``folder`` are all those of before, or all those of the block.

    Args:
        folder (path): Where the files end. It is made if it does not exist; files of other names
            in it are left alone. If it is a link, the files end in the folder behind it.
        replaced (iterable of str, optional): Names of files of an earlier result in ``folder``:
            those that the block does not write go when its files come. (default: none)

    Raises:
        TypeError: If ``folder`` is no path.
        ValueError: If ``folder`` has no name, a name that is no text, is a file, or cannot be
            written to, e.g. since the disk is full.
    """
    as_path("folder", folder)
    if not os.fspath(folder):
        raise ValueError("Expected the name of a folder (got an empty one). Name one.")
    made: list[Path] = []
    try:
        with _told(folder):
            folder = Path(os.path.realpath(folder))
            stage = _new_folder_in(folder, made)
            try:
                _finish(folder)
                _delete_unfinished(folder)
                yield stage
                _check_places(folder, stage, made)
                _note_removals(folder, stage, replaced)
                _commit(stage, folder)
            except BaseException:
                shutil.rmtree(stage, ignore_errors=True)
                raise
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):  # There is something in it.
                path.rmdir()
        raise


def make_folder(folder: Path) -> None:
    """Make ``folder`` if it does not exist, and raise unless files can be written into it."""
    with _told(folder):
        folder = Path(os.path.realpath(folder))
        _new_folder_in(folder, []).rmdir()


def read_latest(path: Path, read: Callable[[Path], Content]) -> Content:
    """What ``read`` returns for the file ``path``, or for the one that is about to replace it.

    Args:
        path (Path): The file, written by :func:`staged_folder` for its folder or the one above.
        read (Callable): Reads a file, and raises a ``FileNotFoundError`` if there is none.
    """
    folder = Path(os.path.realpath(path.parent))
    for above in (folder, folder.parent):
        committed, name = above / _COMMITTED, folder.relative_to(above) / path.name
        with suppress(FileNotFoundError):
            return read(committed / name)
        if _removes(committed, name):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return read(path)


def _removes(committed: Path, name: Path) -> bool:
    """Whether a commit, if there is one, says that the file ``name`` goes."""
    try:
        names = [each for each in os.listdir(committed) if each.startswith(_REMOVED)]
    except FileNotFoundError:
        return False
    return any((committed / each / name).exists() for each in names)


def is_there(path: Path) -> bool:
    """Whether there is something of the name ``path``, in the latest of its folder."""
    try:
        read_latest(path, Path.stat)
    except OSError:
        return False
    return True


def names_in(folder: Path) -> list[str]:
    """Names of what is in ``folder``, without what writers have not finished."""
    return [name for name in os.listdir(folder) if not name.startswith((_UNFINISHED, _COMMITTED))]


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON in the file ``path``, the latest of its folder.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(read_latest(path, _read_bytes))
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def digest_of(path: Path) -> str:
    """What tells the content of the file ``path``, the latest of its folder, from any other.

    Raises:
        OSError: If it cannot be read.
    """
    return hashlib.sha256(read_latest(path, _read_bytes)).hexdigest()


def check_file(path: Path) -> None:
    """Raise if ``path`` is a folder, or a pipe, where a reader would wait without end.

    Raises:
        OSError: If it is there and no file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))


def _read_bytes(path: Path) -> bytes:
    check_file(path)
    return path.read_bytes()


@contextmanager
def _told(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say which folder cannot be written to, and why."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"Expected a folder to write to (got {os.fspath(folder)}: {error.strerror or error})."
            f" Make room or correct the permissions there, or name another folder."
        ) from error


def _new_folder_in(folder: Path, made: list[Path]) -> Path:
    _check_is_text(folder)
    _check_no_file(folder)
    _make(folder, made)
    owner = f"{_UNFINISHED}{os.getpid()}-{_TOKEN}-{platform.node()}-"
    return Path(tempfile.mkdtemp(prefix=owner, dir=folder))


def _check_is_text(folder: Path) -> None:
    """Raise for a path of bytes that are no text: safetensors would not read what is there."""
    try:
        os.fspath(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"Expected a folder whose path is text (got {os.fspath(folder)!r}, which UTF-8 has no"
            f" characters for). Name another folder."
        ) from None


def _make(folder: Path, made: list[Path]) -> None:
    """Make ``folder`` and those above it, and note those that were not there."""
    if not folder.is_dir():
        _make(folder.parent, made)
        folder.mkdir(exist_ok=True)
        made.append(folder)


def _delete_unfinished(folder: Path) -> None:
    """Delete what writers have left that do not run any more."""
    for name in os.listdir(folder):
        if name.startswith(_UNFINISHED) and not _is_written(name):
            shutil.rmtree(folder / name, ignore_errors=True)


def _is_written(name: str) -> bool:
    """Whether the writer of the folder ``name`` runs, as far as this machine can know."""
    owner = _OWNER.fullmatch(name)
    if owner is None:
        return False
    process, token, machine = owner.groups()
    if machine != platform.node():
        return True
    return token == _TOKEN if int(process) == os.getpid() else psutil.pid_exists(int(process))


def _check_no_file(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise ValueError(
                    f"Expected a folder (got the file {path}). Name another folder, or move the"
                    f" file."
                )
            return


def _check_places(folder: Path, stage: Path, made: list[Path]) -> None:
    """Raise before the first file moves, so that a result is never half of one save."""
    disk = stage.stat().st_dev
    for path in _files_in(stage):
        target = folder / path.relative_to(stage)
        if target.is_dir():
            raise ValueError(
                f"Expected to write the file {target} (got a folder of that name). Move it, or name"
                f" another folder."
            )
        _check_no_file(target.parent)
        _make(target.parent, made)
        if os.path.realpath(target.parent) != str(target.parent):
            raise ValueError(
                f"Expected folders in {folder} (got the link {target.parent}). Name another folder,"
                f" or move the link."
            )
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise ValueError(
                f"Expected a folder to write to (got {target.parent}: Permission denied). Correct"
                f" its permissions, or name another folder."
            )
        if target.parent.stat().st_dev != disk:
            raise ValueError(
                f"Expected {folder} to be on one disk (got {target.parent} on another). Name"
                f" another folder."
            )


def _note_removals(folder: Path, stage: Path, names: Iterable[str]) -> None:
    """Say in ``stage`` which files of ``folder`` its commit removes."""
    # A folder that no other commit has.
    removed = stage / f"{_REMOVED}{secrets.token_hex(4)}"
    for name in names:
        if (folder / name).is_file() and not (stage / name).exists():
            (removed / name).parent.mkdir(parents=True, exist_ok=True)
            (removed / name).touch()


def _commit(stage: Path, folder: Path) -> None:
    """Make the files of ``stage`` count, and move them to their places."""
    files = _files_in(stage)
    for path in files:
        with path.open("rb+") as file:  # A disk may say only now that it is full.
            os.fsync(file.fileno())
    committed = folder / _COMMITTED
    while True:
        _finish(folder)
        try:
            os.rename(stage, committed)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue  # Another writer was faster.
            raise
        break
    try:
        _finish(folder)
    except OSError:
        left = _files_in(committed)
        if len(left) == len(files):
            os.rename(committed, stage)  # As if it had not been.
        if left:
            raise


def _finish(folder: Path) -> None:
    """Move files that were committed to their places."""
    committed = folder / _COMMITTED
    if committed.is_symlink():
        raise OSError(errno.ENOTDIR, "there is a link", str(committed))
    _move(committed, folder)


def _move(source: Path, folder: Path, *, removes: bool = False) -> None:
    """Move all files of ``source`` into ``folder``, while others may do the same.

    With ``removes``, files of the same names are removed from ``folder`` instead.
    """
    try:
        # Nothing is removed before all has moved.
        entries = sorted(
            os.scandir(source), key=lambda entry: (entry.name.startswith(_REMOVED), entry.name)
        )
    except FileNotFoundError:
        return
    for entry in entries:
        target = folder / entry.name
        if entry.name.startswith(_REMOVED):
            _move(Path(entry.path), folder, removes=True)
        elif entry.is_dir(follow_symlinks=False):
            if target.is_symlink():
                raise OSError(errno.ENOTDIR, "there is a link", str(target))
            target.mkdir(exist_ok=True)
            _move(Path(entry.path), target, removes=removes)
        elif removes:
            # By way of the commit, so that who is late, when it is gone, removes no newer file.
            with suppress(FileNotFoundError):
                os.replace(target, entry.path)
            with suppress(FileNotFoundError):
                os.unlink(entry.path)
        else:
            with suppress(FileNotFoundError):
                os.replace(entry.path, target)
    try:
        os.rmdir(source)
    except OSError as error:
        # It has been removed, or is that of the next writer.
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise


def _files_in(stage: Path) -> list[Path]:
    return sorted(path for path in stage.rglob("*") if path.is_file())
