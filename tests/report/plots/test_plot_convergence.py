import warnings
from dataclasses import replace
from io import BytesIO

import matplotlib
import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.report import plot_convergence
from pyg_modules.solve import ConvergenceWarning, Solution, Solver
from tests.strategies import normal

matplotlib.use("Agg")


@pytest.fixture
def ax():
    return Figure().subplots()


def layer_with(solver, scale=0.3):
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2), solver, "tanh").double()
    with torch.no_grad():
        layer.weight.copy_(scale * normal(layer.graph.num_edges))
    return layer


def curves(ax):
    """The median, and the lowest and highest of the range, by update."""
    line = ax.lines[0]
    updates = line.get_xdata()
    vertices = ax.collections[0].get_paths()[0].vertices
    low, high = (
        numpy.array([reduce(vertices[vertices[:, 0] == t, 1]) for t in updates])
        for reduce in (min, max)
    )
    return updates, line.get_ydata(), low, high


def check(ax, expected):
    """``expected`` are residuals [T, B]."""
    updates, middle, low, high = curves(ax)
    assert list(updates) == list(range(1, len(expected) + 1))
    numpy.testing.assert_allclose(middle, numpy.median(expected, axis=1), rtol=1e-6)
    numpy.testing.assert_allclose(low, expected.min(axis=1), rtol=1e-6)
    numpy.testing.assert_allclose(high, expected.max(axis=1), rtol=1e-6)


def residuals_by_hand(layer, x, steps):
    """From plain message passing, update by update."""
    states = torch.cat([x, x.new_zeros(len(x), layer.graph.num_units - x.size(1))], dim=1)
    residuals = []
    hidden = slice(layer.graph.hidden.start, layer.graph.hidden.stop)
    for _ in range(steps):
        states = layer.step(states)
        h, following = states[:, hidden], layer.step(states)[:, hidden]
        residuals.append((following - h).norm(dim=1) / h.norm(dim=1))
    return torch.stack(residuals).detach().numpy()


def test_of_unrolled_updates_it_is_the_residual_after_each(ax):
    layer, x = layer_with(Unrolled(7)), normal(6, 3)
    assert plot_convergence(layer, x, ax=ax) is ax
    check(ax, residuals_by_hand(layer, x, 7))
    assert ax.get_yscale() == "log"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["range", "median of 6 samples"]


def test_its_last_value_is_the_residual_of_the_solution(ax):
    layer, x = layer_with(Unrolled(5)), normal(4, 3)
    plot_convergence(layer, x, ax=ax)
    expected = layer.solve(x).residual.detach().numpy()
    assert curves(ax)[1][-1] == pytest.approx(numpy.median(expected))


@pytest.mark.parametrize("memory", [0, 3])
@pytest.mark.parametrize("contraction", [None, 0.9])
def test_of_an_equilibrium_it_is_the_way_of_its_solver(ax, memory, contraction):
    solver = Equilibrium(tol=1e-6, memory=memory, contraction=contraction)
    layer, x = layer_with(solver, scale=0.2 if contraction is None else 1.0), normal(6, 3)
    plot_convergence(layer, x, ax=ax)
    solution = layer.solve(x)
    steps = int(solution.steps.max())
    assert len(set(solution.steps.tolist())) > 1
    # A solver that must stop earlier is at the same points until then.
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for most in range(1, steps + 1):
            layer.solver = replace(solver, max_steps=most)
            expected.append(layer.solve(x).residual.detach().numpy())
    check(ax, numpy.array(expected))
    assert ax.lines[1].get_ydata()[0] == 1e-6
    assert ax.get_legend().get_texts()[-1].get_text() == "tolerance 1e-06"


def test_an_equilibrium_that_is_not_reached_shows_all_its_steps(ax):
    layer, x = layer_with(Equilibrium(tol=1e-15, max_steps=9, memory=0)), normal(4, 3)
    plot_convergence(layer, x, ax=ax)  # Without a warning, too: the figure says it.
    check(ax, residuals_by_hand(layer, x, 9))


class UntilThree(Solver):
    def solve(self, recurrence):
        update = recurrence.bind()
        state = torch.zeros_like(recurrence.injected)
        for _ in range(3):
            state = update(state)
        return Solution(state, 3)


def test_another_solver_shows_as_many_updates_as_it_computed(ax):
    layer, x = layer_with(UntilThree()), normal(4, 3)
    plot_convergence(layer, x, ax=ax)
    check(ax, residuals_by_hand(layer, x, 3))


def test_a_residual_of_zero_is_drawn_at_the_rounding_of_the_dtype(ax):
    # Two levels: after two updates nothing moves any more.
    layer = SynchronousGraph(UnitGraph.layered([3, 4, 4, 2]), Unrolled(4), "tanh")
    plot_convergence(layer, torch.rand(5, 3), ax=ax)
    _, middle, _, _ = curves(ax)
    assert middle[0] > 1e-4
    assert list(middle[1:]) == [torch.finfo(torch.float32).eps] * 3
    ax.figure.savefig(BytesIO())


def test_the_layer_stays_as_it_is(ax):
    solver = Equilibrium(contraction=0.9)
    layer, x = layer_with(solver, scale=1.0), normal(4, 3)
    weight = layer.weight.detach().clone()
    plot_convergence(layer, x, ax=ax)
    assert layer.solver is solver
    assert torch.equal(layer.weight, weight)
    assert layer.weight.grad is None


def test_bad_inputs_are_refused(ax):
    layer = layer_with(Unrolled(2))
    with pytest.raises(ValueError, match=r"at least one sample \(got x of shape \[0, 3\]\)"):
        plot_convergence(layer, normal(0, 3), ax=ax)
    with pytest.raises(ValueError, match=r"\[\*, 3\]"):
        plot_convergence(layer, normal(2, 4), ax=ax)
    with pytest.raises(ValueError, match="finite inputs"):
        plot_convergence(layer, normal(2, 3) / 0, ax=ax)
    with torch.no_grad():
        layer.weight[0] = torch.nan
    with pytest.raises(ValueError, match="finite weights"):
        plot_convergence(layer, normal(2, 3), ax=ax)
