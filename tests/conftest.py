import os
import tempfile

import numpy
import pytest
import torch
from hypothesis import settings

# A list of fonts of our own, whole before a command is run: the one in the home directory may come
# from another environment and miss fonts, which matplotlib then says on stderr.
FONT_LIST = tempfile.TemporaryDirectory(prefix="pyg_modules-fonts-")
os.environ["MPLCONFIGDIR"] = FONT_LIST.name

# Without a CUDA device, kernels in Triton are interpreted, which nothing else uses there. Triton
# looks at it when it is imported, as torch_geometric does where it is installed.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import matplotlib.font_manager  # noqa: E402, F401
from matplotlib import pyplot  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402

# Reproducible, and no timing in tests: the same examples on every run, however long they take.
settings.register_profile("pyg_modules", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("pyg_modules")


@pytest.fixture(scope="module")
def pictures_of_one_pixel():
    """For pages of which only the words are looked at: to draw takes longer than all the rest."""

    def save(_figure, file, **_settings):
        Image.new("1", (1, 1)).save(file, format="png")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, alone or after others."""
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_figures_left():
    """No test finds the figures of another, as the current one of pyplot or as one too many."""
    yield
    pyplot.close("all")
