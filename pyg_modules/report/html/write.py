from __future__ import annotations

import os
from pathlib import Path

from pyg_modules._files import as_path, staged_folder
from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.experiment.run_folder import (
    PICTURE_FILE,
    REPORT_FILE,
    files_of_run,
    load_run,
    write_run,
)
from pyg_modules.report.html.libraries import check_report_libraries
from pyg_modules.report.html.page import render_page
from pyg_modules.report.partition_figure import partition_figure


def write_run_with_report(result: ExperimentResult, folder: str | os.PathLike[str]) -> Path:
    """Write what a run made, and the page that shows it; all files appear, or none.

    Args:
        result (ExperimentResult): The run.
        folder (path): Gets the files of :func:`~pyg_modules.experiment.write_run`,
            ``partition.png`` and ``report.html``.

    Returns:
        pathlib.Path: The page.

    Raises:
        ImportError: If a library that a report is made with is not installed.
        ValueError: If ``folder`` is a file, or cannot be written to.
    """
    check_report_libraries()
    folder = as_path("folder", folder)
    with staged_folder(folder, files_of_run(folder)) as stage:
        write_run(result, stage)
        partition_figure(result).savefig(stage / PICTURE_FILE, dpi=120)
        page = render_page(load_run(stage), folder)
        (stage / REPORT_FILE).write_text(page, encoding="utf-8")
    return folder / REPORT_FILE


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into the folder of a run: one page that opens anywhere, offline.

    Args:
        folder (path): The folder, as :func:`~pyg_modules.experiment.write_run` writes it.

    Returns:
        pathlib.Path: The page. It appears complete, or not at all.

    Raises:
        ImportError: If a library that a report is made with is not installed.
        ValueError: If ``folder`` does not hold a complete run, or cannot be written to.
    """
    check_report_libraries()
    folder = as_path("folder", folder)
    page = render_page(load_run(folder), folder)
    with staged_folder(folder) as stage:
        (stage / REPORT_FILE).write_text(page, encoding="utf-8")
    return folder / REPORT_FILE
