import numpy
import pytest
import torch
from hypothesis import settings

# Reproducible, and no timing in tests: the same examples on every run, however long they take.
settings.register_profile("pyg_modules", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("pyg_modules")


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, alone or after others."""
    numpy.random.seed(0)
    torch.manual_seed(0)
