import importlib.util
import sys

import pytest

from pyg_modules.partition import search
from pyg_modules.partition.search import loops


@pytest.fixture(params=["loops", "arrays"])
def kernels(request, monkeypatch):
    """The loops of the search, compiled where numba is installed, and on arrays without numba."""
    found = loops.kernels()
    if request.param == "arrays":
        spec = importlib.util.spec_from_file_location("kernels_without_numba", found.__file__)
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "numba", None)
            found = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
        assert not found.IS_COMPILED
    monkeypatch.setattr(search, "move_kernels", found)
    loops.kernels.cache_clear()
    yield found
    loops.kernels.cache_clear()
