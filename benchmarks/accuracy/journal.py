"""Results of single jobs, so that a benchmark that is killed within a cell loses no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any


class Journal:
    """A file with a line of JSON per finished job, until all that they belong to is written.

    Args:
        path (Path): The file; what is in it already is known.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._known: dict[str, dict[str, Any]] = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        # What follows the last end of a line was cut off when its writer was killed.
        for line in lines[:-1]:
            job, result = json.loads(line)
            self._known[json.dumps(job)] = result
        self._is_torn = bool(lines[-1])

    def get(self, job: Sequence[Any]) -> dict[str, Any] | None:
        """The result of a job, if it was finished."""
        return self._known.get(json.dumps(job))

    def add(self, job: Sequence[Any], result: dict[str, Any]) -> None:
        """Keep the result of a job, unless it is known."""
        with self._lock:
            self._add(job, result)

    def _add(self, job: Sequence[Any], result: dict[str, Any]) -> None:
        if self.get(job) is not None:
            return
        line = json.dumps([job, result])
        if self._is_torn:
            kept = self._path.read_text(encoding="utf-8").rpartition("\n")
            self._path.write_text(kept[0] + kept[1], encoding="utf-8")
            self._is_torn = False
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._known[json.dumps(job)] = json.loads(line)[1]

    def clear(self) -> None:
        """Forget all: it is written elsewhere."""
        self._known.clear()
        self._path.unlink(missing_ok=True)
        self._is_torn = False
