"""How long it takes to measure every accuracy, from what each training took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.markdown import table

FOLDER = Path(__file__).parent
# Less is not worth a row.
_LEAST = 0.5


def all_times(folder: Path = FOLDER) -> str:
    """A row per file of results that says how long its trainings took, and their sum."""
    minutes = {
        str(path.relative_to(folder)): _seconds(json.loads(path.read_text(encoding="utf-8"))) / 60
        for path in sorted(folder.rglob("*.json"))
    }
    rows = [[f"`{name}`", f"{some:.0f}"] for name, some in minutes.items() if some >= _LEAST]
    total = sum(minutes.values())
    rows.append(["all", f"**{total:.0f}**, {total / 120:.1f} hours of two cores"])
    return table(["`benchmarks/accuracy/`", "minutes of one core"], rows)


def _seconds(found: Any) -> float:
    """The sum of all ``"seconds"`` in it."""
    if isinstance(found, dict):
        own = found.get("seconds", 0.0)
        return float(own if isinstance(own, int | float) else 0.0) + sum(
            _seconds(value) for value in found.values()
        )
    return sum(map(_seconds, found)) if isinstance(found, list) else 0.0
