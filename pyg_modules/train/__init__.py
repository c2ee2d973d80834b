"""The training loop, the main recipe, and estimators of scikit-learn."""

# Not in __all__: names that had their place here before there was pyg_modules.datasets.
from pyg_modules._seeding import seeded
from pyg_modules.datasets.dataset import Dataset as Dataset
from pyg_modules.datasets.named import DATASETS as DATASETS
from pyg_modules.datasets.named import load_dataset as load_dataset
from pyg_modules.datasets.planted import PlantedProblem as PlantedProblem
from pyg_modules.datasets.planted import planted_problem as planted_problem
from pyg_modules.train.edge_gradient import EdgeGradient
from pyg_modules.train.epoch_record import EpochRecord
from pyg_modules.train.evaluation import accuracy
from pyg_modules.train.fit import DivergedError, fit
from pyg_modules.train.modular_classifier import ModularClassifier
from pyg_modules.train.modular_regressor import ModularRegressor
from pyg_modules.train.organise import Organised, organise
from pyg_modules.train.partition_verdict import partition_verdict
from pyg_modules.train.probe import Probe
from pyg_modules.train.topology_training import TopologyTraining
from pyg_modules.train.training_schedule import Schedule

__all__ = [
    "DivergedError",
    "EdgeGradient",
    "EpochRecord",
    "ModularClassifier",
    "ModularRegressor",
    "Organised",
    "Probe",
    "Schedule",
    "TopologyTraining",
    "accuracy",
    "fit",
    "organise",
    "partition_verdict",
    "seeded",
]
