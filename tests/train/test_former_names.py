import pytest

import pyg_modules.datasets
import pyg_modules.train

FORMER = ["DATASETS", "Dataset", "PlantedProblem", "load_dataset", "planted_problem"]


@pytest.mark.parametrize("name", FORMER)
def test_data_sets_are_imported_from_their_former_place_too(name):
    assert getattr(pyg_modules.train, name) is getattr(pyg_modules.datasets, name)
    assert name not in pyg_modules.train.__all__
