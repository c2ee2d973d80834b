"""What the command line runs: its settings, its comparison, and its folder of files."""

from pyg_modules.experiment.experiment import MODELS, ExperimentResult, run_experiment
from pyg_modules.experiment.experiment_config import ExperimentConfig
from pyg_modules.experiment.progress import BarProgress, LineProgress, NoProgress, Progress
from pyg_modules.experiment.run_folder import load_run, write_run
from pyg_modules.experiment.table import accuracy_table

__all__ = [
    "MODELS",
    "BarProgress",
    "ExperimentConfig",
    "ExperimentResult",
    "LineProgress",
    "NoProgress",
    "Progress",
    "accuracy_table",
    "load_run",
    "run_experiment",
    "write_run",
]
