"""Figures of a layer whose edges carry kernels."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

from pyg_modules import SynchronousConv2d, UnitGraph, Unrolled, cut
from pyg_modules.report import (
    plot_adjacency,
    plot_convergence,
    plot_module_sizes,
    plot_spectrum,
    plot_unit_graph,
    report,
)
from pyg_modules.report.plots.weights import hidden_weights

matplotlib.use("Agg")
LABELS = torch.tensor([-1, 0, 1, 0, 1, -1, -1])


@pytest.fixture
def layer():
    return SynchronousConv2d(UnitGraph.complete(1, 4, 2), 3, Unrolled(2))


def test_weights_are_drawn_as_the_norms_of_kernels(layer):
    matrix = hidden_weights(layer)
    source, target = layer.graph.edge_index
    expected = torch.zeros(7, 7)
    expected[target, source] = layer.weight.detach().square().sum(dim=(1, 2)).sqrt()
    torch.testing.assert_close(matrix, expected[1:5, 1:5])
    (image,) = plot_adjacency(layer, ax=plt.figure().subplots()).images
    torch.testing.assert_close(torch.from_numpy(image.get_array().data).float(), matrix)


def test_the_figures_that_need_no_matrix_are_drawn(layer):
    modular = cut(layer, LABELS)
    figures = matplotlib.pyplot.figure().subplots(1, 3)
    assert plot_unit_graph(modular, ax=figures[0]).collections
    assert plot_module_sizes(modular, LABELS, ax=figures[1]).patches
    (line,) = plot_convergence(layer, torch.rand(3, 1, 4, 5), ax=figures[2]).lines
    assert list(line.get_xdata()) == [1, 2]


def test_the_others_are_refused_by_name(layer, tmp_path):
    with pytest.raises(TypeError, match="got a SynchronousConv2d, whose edges have several"):
        plot_spectrum(layer)
    x, y = torch.rand(4, 1, 4, 5), torch.tensor([0, 1, 0, 1])
    with pytest.raises(TypeError, match=r"got a SynchronousConv2d.* plot_adjacency"):
        report(layer, x, y, out=tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
