"""Data sets by name, with fixed splits, and problems whose right modules are known."""

from pyg_modules.datasets.named import DATASETS, Dataset, load_dataset
from pyg_modules.datasets.planted import PlantedProblem, planted_problem

__all__ = ["DATASETS", "Dataset", "PlantedProblem", "load_dataset", "planted_problem"]
