import pytest

import pyg_modules.datasets
import pyg_modules.train


@pytest.mark.parametrize("name", pyg_modules.datasets.__all__)
def test_data_sets_are_imported_from_their_former_place_too(name):
    assert getattr(pyg_modules.train, name) is getattr(pyg_modules.datasets, name)
    assert name not in pyg_modules.train.__all__
