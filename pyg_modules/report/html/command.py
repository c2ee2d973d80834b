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
    options = run.encoding.options if run.encoding else {"dataset": run.dataset}
    settings = {field.name: getattr(run.config, field.name) for field in fields(run.config)}
    if run.other_seeds:
        settings["seeds"] = len(run.other_seeds) + 1
    pieces = [["pyg-modules", "train"]]
    for name, value in {**options, **settings}.items():
        option = f"--{name.replace('_', '-')}"
        if value is not False:
            pieces.append([option] if value is True else _with_value(option, str(value)))
    pieces.append(_with_value("--out", os.fspath(folder)))
    return [shlex.join(piece) for piece in pieces]


def _with_value(option: str, value: str) -> list[str]:
    # By itself, what begins with a hyphen is an option.
    return [f"{option}={value}"] if value.startswith("-") else [option, value]
