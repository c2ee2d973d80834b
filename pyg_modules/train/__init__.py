"""Data sets, the training loop, estimators, and the experiment behind the command line."""

from pyg_modules.train.config import ExperimentConfig
from pyg_modules.train.datasets import DATASETS, Dataset, load_dataset
from pyg_modules.train.experiment import MODELS, ExperimentResult, run_experiment
from pyg_modules.train.fit import DivergedError, accuracy, fit
from pyg_modules.train.history import EpochRecord
from pyg_modules.train.modular_classifier import ModularClassifier
from pyg_modules.train.modular_regressor import ModularRegressor
from pyg_modules.train.planted import PlantedProblem, planted_problem
from pyg_modules.train.progress import BarProgress, LineProgress, NoProgress, Progress
from pyg_modules.train.seeding import seeded
from pyg_modules.train.table import accuracy_table

__all__ = [
    "DATASETS",
    "MODELS",
    "BarProgress",
    "Dataset",
    "DivergedError",
    "EpochRecord",
    "ExperimentConfig",
    "ExperimentResult",
    "LineProgress",
    "ModularClassifier",
    "ModularRegressor",
    "NoProgress",
    "PlantedProblem",
    "Progress",
    "accuracy",
    "accuracy_table",
    "fit",
    "load_dataset",
    "planted_problem",
    "run_experiment",
    "seeded",
]
