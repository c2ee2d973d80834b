"""The training loop, the main recipe, and estimators of scikit-learn."""

from pyg_modules.train.epoch_record import EpochRecord
from pyg_modules.train.fit import DivergedError, accuracy, fit
from pyg_modules.train.modular_classifier import ModularClassifier
from pyg_modules.train.modular_regressor import ModularRegressor
from pyg_modules.train.seeding import seeded

__all__ = [
    "DivergedError",
    "EpochRecord",
    "ModularClassifier",
    "ModularRegressor",
    "accuracy",
    "fit",
    "seeded",
]
