"""Results of single jobs, so that a benchmark that is killed within a cell loses no training."""

from __future__ import annotations

import json
import os
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
        if not path.exists():
            return
        # What follows the last end of a line was cut off when its writer was killed.
        whole, end, _ = path.read_bytes().rpartition(b"\n")
        os.truncate(path, len(whole) + len(end))
        for line in whole.splitlines():
            job, result = json.loads(line)
            self._known[json.dumps(job)] = result

    def get(self, job: Sequence[Any]) -> dict[str, Any] | None:
        """The result of a job, if it was finished."""
        return self._known.get(json.dumps(job))

    def add(self, job: Sequence[Any], result: dict[str, Any]) -> None:
        """Keep the result of a job, unless it is known."""
        with self._lock:
            if self.get(job) is not None:
                return
            line = json.dumps([job, result])
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
            self._known[json.dumps(job)] = json.loads(line)[1]

    def clear(self) -> None:
        """Forget all: it is written elsewhere."""
        self._known.clear()
        self._path.unlink(missing_ok=True)
