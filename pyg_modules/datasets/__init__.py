"""Data sets by name and from files, and problems whose right modules are known."""

from pyg_modules.datasets.dataset import Dataset
from pyg_modules.datasets.encoding import (
    CategoryColumn,
    Encoding,
    NumberColumn,
    Target,
    load_encoding,
)
from pyg_modules.datasets.file_data import load_file
from pyg_modules.datasets.named import DATASETS, load_dataset
from pyg_modules.datasets.planted import PlantedProblem, planted_problem

__all__ = [
    "DATASETS",
    "CategoryColumn",
    "Dataset",
    "Encoding",
    "NumberColumn",
    "PlantedProblem",
    "Target",
    "load_dataset",
    "load_encoding",
    "load_file",
    "planted_problem",
]
