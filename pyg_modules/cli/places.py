from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyg_modules._files import read_latest
from pyg_modules.experiment.run_folder import METRICS_FILE

# Of a run, of a network, of what was exported.
_RESULTS = {METRICS_FILE: "a run", "config.json": "a network", "manifest.json": "exported modules"}


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise a ``ValueError`` if there is a result in ``folder`` that must not be replaced."""
    if overwrite:
        return
    for name, what in _RESULTS.items():
        with suppress(OSError):
            read_latest(folder / name, Path.stat)
            raise ValueError(
                f"Expected a folder without results (got {folder}, with {what} in it). Name"
                f" another by --out, or replace what is there by --overwrite."
            )
