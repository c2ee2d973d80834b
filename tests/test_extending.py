"""A toy of what CONTRIBUTING says how to add, driven through the public interface.

Those of a loss and of a partition method are in ``partition/test_units.py``.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import DATASETS, load_dataset
from pyg_modules.datasets.named import DatasetInfo
from pyg_modules.ops import BACKENDS, EdgeOperator, cost_model
from pyg_modules.report.plots.axes import axes_or_new
from pyg_modules.solve import SOLVERS, Solution, Solver
from tests.strategies import generator, normal

CYCLIC = torch.tensor([[0, 1, 2, 3, 4, 2, 3, 0, 4], [2, 2, 3, 4, 2, 5, 5, 4, 6]])


def layer_on(graph, backend="auto", seed=0, **kwargs):
    layer = SynchronousGraph(graph, Unrolled(4), "tanh", backend=backend, **kwargs)
    layer.reset_parameters(generator(seed))
    return layer


# A backend ########################################################################################


@pytest.fixture
def toy_backend(monkeypatch):
    """A backend of kernels alone, which the cost model takes for the fastest by far."""
    before = dict(BACKENDS)

    class ToyOperator(EdgeOperator):
        name = "toy"
        devices = ("cpu",)
        calls = 0

        @classmethod
        def build(cls, edges):
            return cls((edges.source, edges.target), (edges.num_targets, edges.num_sources))

        def prepare(self, weight):
            return weight.unsqueeze(1)

        prepare_transposed = prepare

        def matmul(self, values, state, out):
            source, target = self.index
            out.zero_().index_add_(0, target, values * state[source])

        def matmul_transposed(self, values, grad, out):
            source, target = self.index
            out.zero_().index_add_(0, source, values * grad[target])

        def update(self, values, state, injected, f, out):
            type(self).calls += 1
            self.matmul(values, state, out)
            return f.apply_(out.add_(injected))

        def new_gradient(self, weight):
            return torch.zeros_like(weight)

        def accumulate(self, gradient, grad, state):
            source, target = self.index
            gradient += (grad[target] * state[source]).sum(dim=1)

        def edge_gradient(self, gradient):
            return gradient

    model = copy.deepcopy(cost_model._model())
    for dtype in ("float32", "float64"):
        free = dict.fromkeys(("call", "cell", "cell_sample", "unit_sample"), 1e-15)
        model["cpu"][dtype]["toy"] = free
    monkeypatch.setattr(cost_model, "_model", lambda: model)
    yield ToyOperator
    BACKENDS.clear()
    BACKENDS.update(before)


def gradients(layer, x):
    return torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))


def test_auto_takes_a_new_backend_and_the_report_says_so(toy_backend):
    layer, x = layer_on(UnitGraph(CYCLIC, 7, 2, 2), dtype=torch.float64), normal(5, 2)
    report = layer.backend_report(5)
    assert {choice.backend for choice in report.choices.values()} == {"toy"}
    assert "toy" in str(report)
    expected = layer_on(UnitGraph(CYCLIC, 7, 2, 2), "scatter", dtype=torch.float64)
    torch.testing.assert_close(layer(x), expected(x))
    torch.testing.assert_close(gradients(layer, x), gradients(expected, x))
    assert toy_backend.calls > 0


def test_transformations_do_without_a_backend_that_they_cannot_look_into(toy_backend):
    layer, x = layer_on(UnitGraph(CYCLIC, 7, 2, 2), dtype=torch.float64), normal(5, 2)
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    asked = layer_on(UnitGraph(CYCLIC, 7, 2, 2), "toy", dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"cannot look into the backend 'toy'"):
        torch.func.vmap(asked)(x)
    assert toy_backend.calls > 0


# As in tests/nn: the compiler warns of what it does itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_a_new_backend_compiles(toy_backend):
    torch._dynamo.reset()
    layer, x = layer_on(UnitGraph(CYCLIC, 7, 2, 2), "toy"), torch.rand(5, 2)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    calls = toy_backend.calls
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(gradients(compiled, x), gradients(layer, x))
    assert toy_backend.calls > calls


# A solver #########################################################################################


def test_a_layer_with_a_new_solver_computes_and_is_saved(tmp_path):
    before = dict(SOLVERS)
    try:

        @dataclass(frozen=True)
        class Twice(Solver, name="twice"):
            """Each of some steps is done twice."""

            steps: int = 2

            def solve(self, recurrence):
                update: Callable = recurrence.bind()
                state = torch.zeros_like(recurrence.injected)
                for _ in range(2 * self.steps):
                    state = update(state)
                return Solution(state, 2 * self.steps)

        layer = SynchronousGraph(UnitGraph(CYCLIC, 7, 2, 2), Twice(3), "tanh")
        layer.save(tmp_path)
        loaded, x = SynchronousGraph.load(tmp_path), torch.rand(5, 2)
        assert loaded.solver == Twice(3)
        layer.solver = Unrolled(6)
        torch.testing.assert_close(loaded(x), layer(x))
    finally:
        SOLVERS.clear()
        SOLVERS.update(before)


def test_a_solver_that_is_saved_has_no_setting_in_the_place_of_its_name():
    with pytest.raises(TypeError, match=r"without a setting called name \(got Named with one\)"):

        class Named(Solver, name="named"):
            name: str = "mine"

    assert "named" not in SOLVERS


def test_a_solver_without_settings_says_how_it_is_saved(tmp_path):
    class Plain(Solver):
        def solve(self, recurrence):
            return Unrolled(2).solve(recurrence)

    layer = SynchronousGraph(UnitGraph(CYCLIC, 7, 2, 2), Plain())
    with pytest.raises(TypeError, match=r"Make it one, class Plain\(Solver, name=...\)"):
        layer.save(tmp_path)


def test_an_update_that_was_bound_outside_of_a_transformation_is_refused_in_it():
    class Inside(Solver):
        def solve(self, recurrence):
            update = recurrence.bind()
            states = update(torch.zeros_like(recurrence.injected))
            each = torch.func.vmap(lambda state: update(state[:, None])[:, 0], 1, 1)
            return Solution(each(states), 2)

    layer = SynchronousGraph(UnitGraph(CYCLIC, 7, 2, 2), Inside(), backend="sparse")
    with pytest.raises(RuntimeError, match=r"cannot look into the backend 'sparse'"):
        layer(torch.rand(1, 2))


def test_a_backend_without_a_name_of_its_own_replaces_none():
    before = dict(BACKENDS)

    class Loud(BACKENDS["dense"]):
        pass

    assert before == BACKENDS
    assert Loud.is_composable


# A data set and a figure ##########################################################################


def test_a_new_data_set_is_loaded_by_its_name(monkeypatch):
    def squares(_root):
        x = numpy.arange(8, dtype=numpy.float32).reshape(4, 2)
        y = numpy.array([0, 1, 0, 1])
        return (x, y), (x[:2], y[:2])

    monkeypatch.setitem(DATASETS, "squares", DatasetInfo("4 + 2 samples", squares))
    data = load_dataset("squares")
    assert (data.name, data.num_features, data.num_classes) == ("squares", 2, 2)
    assert data.test_y.tolist() == [0, 1]


def test_a_new_figure_draws_into_axes_it_is_given_or_into_the_current_ones():
    def plot_degrees(layer, *, ax=None):
        ax = axes_or_new(ax)
        ax.bar(range(layer.graph.num_units), torch.bincount(layer.graph.edge_index[1]).tolist())
        return ax

    ax = Figure().subplots()
    assert plot_degrees(layer_on(UnitGraph(CYCLIC, 7, 2, 2)), ax=ax) is ax
    assert [bar.get_height() for bar in ax.patches] == [0, 0, 3, 1, 2, 2, 1]
