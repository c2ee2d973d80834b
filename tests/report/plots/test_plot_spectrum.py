import matplotlib
import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph
from pyg_modules.report import plot_spectrum
from tests.strategies import normal

matplotlib.use("Agg")


@pytest.fixture
def ax():
    return Figure().subplots()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def circle(ax, name):
    (line,) = (line for line in ax.lines if line.get_label().startswith(name))
    return numpy.hypot(*line.get_data())


def test_of_a_signed_cycle_it_is_known(ax):
    # 1 -> 2 -> 3 -> 1 with product -8, and so the three cube roots of -8; unit 4 is outside.
    edges = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 1, 4]])
    layer = SynchronousGraph(UnitGraph(edges, 5, 1, 1))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([9.0, 4.0, -1.0, 2.0, 9.0]))
    assert plot_spectrum(layer, ax=ax) is ax
    points = ax.collections[0].get_offsets()
    points = points[points[:, 0].argsort()]
    numpy.testing.assert_allclose(points[0], [-2, 0], atol=1e-6)
    pair = points[1:][points[1:, 1].argsort()]
    numpy.testing.assert_allclose(pair, [[1, -(3**0.5)], [1, 3**0.5]], atol=1e-6)
    # A permutation of 4, -1 and 2 has the norm 4.
    assert legend(ax) == ["unit circle", "spectral norm 4", "eigenvalues, spectral radius 2"]
    numpy.testing.assert_allclose(circle(ax, "unit"), 1)
    numpy.testing.assert_allclose(circle(ax, "spectral norm"), 4, rtol=1e-6)
    assert ax.get_xlim()[1] > 4
    assert ax.get_ylim()[0] < -4


def test_weights_are_those_that_the_solver_uses(ax):
    layer = SynchronousGraph(UnitGraph.complete(2, 12, 1), Equilibrium(contraction=0.5), "tanh")
    layer = layer.double()
    with torch.no_grad():
        layer.weight.copy_(normal(layer.graph.num_edges))
    plot_spectrum(layer, ax=ax)
    assert legend(ax)[1] == "spectral norm 0.5"


def test_bad_layers_are_refused(ax):
    with pytest.raises(ValueError, match=r"with hidden units \(got none\)"):
        plot_spectrum(SynchronousGraph(UnitGraph.layered([3, 2])), ax=ax)
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    with torch.no_grad():
        layer.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="finite weights"):
        plot_spectrum(layer, ax=ax)
