"""What the command line runs: its settings, its comparison, and its folder of files."""

from typing import TYPE_CHECKING

from pyg_modules._lazy import lazy_names

if TYPE_CHECKING:
    from pyg_modules.experiment.experiment import MODELS, ExperimentResult, run_experiment
    from pyg_modules.experiment.experiment_config import ExperimentConfig
    from pyg_modules.experiment.progress import BarProgress, LineProgress, NoProgress, Progress
    from pyg_modules.experiment.run_folder import load_run, write_run
    from pyg_modules.experiment.table import score_table
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "MODELS": "pyg_modules.experiment.experiment",
            "BarProgress": "pyg_modules.experiment.progress",
            "ExperimentConfig": "pyg_modules.experiment.experiment_config",
            "ExperimentResult": "pyg_modules.experiment.experiment",
            "LineProgress": "pyg_modules.experiment.progress",
            "NoProgress": "pyg_modules.experiment.progress",
            "Progress": "pyg_modules.experiment.progress",
            "load_run": "pyg_modules.experiment.run_folder",
            "run_experiment": "pyg_modules.experiment.experiment",
            "score_table": "pyg_modules.experiment.table",
            "write_run": "pyg_modules.experiment.run_folder",
        },
    )

__all__ = [
    "MODELS",
    "BarProgress",
    "ExperimentConfig",
    "ExperimentResult",
    "LineProgress",
    "NoProgress",
    "Progress",
    "load_run",
    "run_experiment",
    "score_table",
    "write_run",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
