from dataclasses import dataclass

import pytest

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.solve import SOLVERS, Solver, Unrolled
from pyg_modules.solve.solver import solver_to_config


def test_a_name_that_another_class_has_in_files_is_refused():
    with pytest.raises(ValueError, match=r"name of its own for .*Mine \(got 'unrolled', which is"):

        class Mine(Solver, name="unrolled"):
            pass

    with pytest.raises(ValueError, match=r"\(got 'SynchronousGraph', which is that of pyg_modules"):

        class Layer(UnitLayer):
            kind = "SynchronousGraph"

    assert solver_to_config(Unrolled(3))["name"] == "unrolled"


def test_a_class_that_is_defined_again_takes_its_own_place():
    def define():
        @dataclass(frozen=True)
        class Again(Solver, name="defined again"):
            pass

        return Again

    try:
        define()
        latest = define()
        assert SOLVERS["defined again"] is latest
    finally:
        del SOLVERS["defined again"]
