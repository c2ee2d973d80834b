import pytest
import torch

from pyg_modules import Unrolled
from pyg_modules.solve import Solver, solver_from_config, solver_to_config


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_it_updates_as_often_as_it_says(steps):
    state = Unrolled(steps).solve(lambda state: 2 * state + 1, torch.zeros(3))
    assert state.tolist() == [2**steps - 1] * 3


def test_it_is_an_immutable_value():
    assert Unrolled(3) == Unrolled(steps=3)
    assert Unrolled() == Unrolled(6)
    with pytest.raises(AttributeError):
        Unrolled(3).steps = 4


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (0, ValueError, r"steps >= 1 \(got 0\)"),
        (-2, ValueError, r"got -2"),
        (2.0, TypeError, r"steps to be an int \(got float: 2.0\)"),
        (True, TypeError, r"got bool"),
    ],
)
def test_bad_steps_are_refused(steps, error, message):
    with pytest.raises(error, match=message):
        Unrolled(steps)


def test_config_round_trip():
    config = solver_to_config(Unrolled(4))
    assert config == {"name": "unrolled", "steps": 4}
    assert solver_from_config(config) == Unrolled(4)


def test_unknown_solvers_have_no_config():
    class Mine(Solver):
        def solve(self, update, initial):
            return update(initial)

    with pytest.raises(TypeError, match=r"unrolled \(got Mine\).*state_dict"):
        solver_to_config(Mine())
    with pytest.raises(ValueError, match=r"unrolled \(got 'magic'\)"):
        solver_from_config({"name": "magic"})
