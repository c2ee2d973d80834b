from __future__ import annotations

import os
import shlex
from dataclasses import fields

from pyg_modules.experiment.experiment import ExperimentResult


def train_command(run: ExperimentResult, folder: str | os.PathLike[str]) -> list[str]:
    """The command that makes a run again, quoted for a shell, with all settings.

    Args:
        run (ExperimentResult): The run.
        folder (path): Where the command writes it.

    Returns:
        list of str: To be joined by spaces; an option and its value are one piece.
    """
    pieces = [["pyg-modules", "train"], ["--dataset", run.dataset]]
    for field in fields(run.config):
        value = getattr(run.config, field.name)
        pieces.append([f"--{field.name.replace('_', '-')}", str(value)])
    pieces.append(["--out", os.fspath(folder)])
    return [shlex.join(piece) for piece in pieces]
