from __future__ import annotations

import os

from pyg_modules._files import staged_folder, write_json
from pyg_modules.report.partition_figure import partition_figure
from pyg_modules.train import ExperimentResult


def write_run(result: ExperimentResult, folder: str | os.PathLike[str]) -> None:
    """Write what a run made into ``folder``; files appear complete, or not at all.

    Args:
        result (ExperimentResult): The run.
        folder (path): Gets ``metrics.json``, ``partition.png``, ``labels.json`` (the module of each
            unit), and the cut and fine-tuned layer: ``config.json`` and ``model.safetensors``.

    Raises:
        ValueError: If ``folder`` is a file.
    """
    figure = partition_figure(result)
    with staged_folder(folder) as stage:
        result.finetuned.save(stage)
        write_json(stage / "labels.json", result.labels.tolist())
        write_json(stage / "metrics.json", result.metrics())
        figure.savefig(stage / "partition.png", dpi=120)
