import subprocess
import sys

import pytest

import pyg_modules
from pyg_modules import experiment


@pytest.mark.parametrize("face", [pyg_modules, experiment], ids=lambda face: face.__name__)
def test_every_name_of_a_lazy_face_is_there_and_listed(face):
    for name in face.__all__:
        assert getattr(face, name) is not None
        assert name in dir(face)
    with pytest.raises(AttributeError, match=f"module '{face.__name__}' has no attribute 'none'"):
        _ = face.none


def test_rooms_are_attributes_without_an_import_of_their_own():
    code = "import pyg_modules; print(pyg_modules.partition.ncut_loss.__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "ncut_loss\n"
