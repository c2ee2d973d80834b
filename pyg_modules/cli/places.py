from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyg_modules._files import is_there
from pyg_modules.datasets.encoding import ENCODING_FILE, METRICS_FILE, load_encoding
from pyg_modules.experiment.run_folder import LABELS_FILE, names_of_run
from pyg_modules.parallel.export import MANIFEST_FILE

RUN, NETWORK, EXPORTED = "a run", "a network", "exported modules"
_RESULTS = {METRICS_FILE: RUN, "config.json": NETWORK, MANIFEST_FILE: EXPORTED}
# What is written, by the kind of result.
_PATTERNS = {
    RUN: names_of_run(),
    NETWORK: ["model.safetensors", LABELS_FILE, ENCODING_FILE],
    EXPORTED: ["part_*.onnx", "part_*.pt2", ENCODING_FILE],
}


def check_free(folder: Path, result: str, *, overwrite: bool) -> None:
    """Raise if there is what ``result``, one of these, must not replace in ``folder``.

    Raises:
        ValueError: If there is any result, or other files of its names; or, with ``overwrite``, a
            result of another kind.
    """
    found = [kind for name, kind in _RESULTS.items() if is_there(folder / name)]
    if RUN in found and NETWORK in found:
        found.remove(NETWORK)  # It is that of the run.
    if found and not overwrite:
        raise ValueError(
            f"Expected a folder without results (got {folder}, with {found[0]} in it). Name"
            f" another by --out, or replace what is there by --overwrite."
        )
    named_like = [path for pattern in _PATTERNS[result] for path in folder.glob(pattern)]
    if named_like and not overwrite:
        raise ValueError(
            f"Expected a folder without files that are named like those to write (got {folder},"
            f" with {named_like[0].name} in it). Name another by --out, or replace them by"
            f" --overwrite."
        )
    if others := [kind for kind in found if kind != result]:
        raise ValueError(
            f"Expected a folder with {result} to replace, or without results (got {folder}, with"
            f" {others[0]} in it). Name another by --out, or delete what is there."
        )


def files_of_encoding(folder: Path, *beside: str) -> list[str]:
    """The name of the encoding in ``folder``, and of what is ``beside`` it; none without one."""
    with suppress(ValueError):
        load_encoding(folder)
        return [ENCODING_FILE, *beside]
    return []
