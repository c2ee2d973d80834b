from unittest.mock import patch

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import Equilibrium, ModularGraph, SynchronousGraph, UnitGraph, cut, split
from pyg_modules.report import (
    plot_adjacency,
    plot_convergence,
    plot_module_sizes,
    plot_spectrum,
    plot_unit_graph,
)
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.report.plots.weights import darkest

matplotlib.use("Agg")
LABELS = torch.tensor([-1, 0, 1, 0, 1, -1])


@pytest.fixture
def ax():
    return Figure().subplots()


def layer_with_one_large_weight(source, target):
    layer = SynchronousGraph(UnitGraph.complete(1, 4, 1))
    edges = layer.graph.edge_index
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[(edges[0] == source) & (edges[1] == target)] = -2.0
    return layer


def image(ax):
    return torch.from_numpy(ax.images[0].get_array().filled())


def test_the_matrix_has_targets_as_rows_and_magnitudes_as_values(ax):
    layer = layer_with_one_large_weight(source=2, target=4)
    assert plot_adjacency(layer, ax=ax) is ax
    expected = torch.zeros(4, 4)
    expected[3, 1] = 2.0
    assert torch.equal(image(ax), expected)
    assert not ax.lines


def test_labels_order_the_units_by_module_and_draw_lines(ax):
    # Hidden units 1, 3 | 2, 4: source 2 is third, target 4 is fourth.
    plot_adjacency(layer_with_one_large_weight(source=2, target=4), LABELS, ax=ax)
    expected = torch.zeros(4, 4)
    expected[3, 2] = 2.0
    assert torch.equal(image(ax), expected)
    assert [line.get_ydata()[0] for line in ax.lines[::2]] == [1.5]


def test_units_that_all_modules_share_come_first(ax):
    # Hidden units 2, 3 | 1 | 4, and a module that has the input alone.
    labels = torch.tensor([1, 0, -1, -1, 2, -1])
    plot_adjacency(layer_with_one_large_weight(source=1, target=3), labels, ax=ax)
    expected = torch.zeros(4, 4)
    expected[1, 2] = 2.0
    assert torch.equal(image(ax), expected)
    assert [line.get_ydata()[0] for line in ax.lines[::2]] == [1.5, 2.5]
    assert {line.get_color() for line in ax.lines} == {CATEGORIES[0]}


def test_weights_are_those_that_the_solver_uses(ax):
    layer = layer_with_one_large_weight(source=2, target=4)
    layer.solver = Equilibrium(contraction=0.5)
    plot_adjacency(layer, ax=ax)
    assert float(image(ax)[3, 1]) == pytest.approx(0.5)


def test_a_cut_layer_has_nothing_outside_its_blocks(ax):
    layer = cut(SynchronousGraph(UnitGraph.complete(1, 4, 1)), LABELS)
    plot_adjacency(layer, LABELS, ax=ax)
    outside = torch.ones(4, 4, dtype=torch.bool)
    outside[:2, :2] = outside[2:, 2:] = False
    assert (image(ax)[outside] == 0).all()
    assert (image(ax)[~outside] > 0).all()


def test_bad_labels_are_refused(ax):
    with pytest.raises(ValueError, match=r"\[6\], one per unit"):
        plot_adjacency(SynchronousGraph(UnitGraph.complete(1, 4, 1)), LABELS[:3], ax=ax)


def test_weights_that_are_not_finite_are_refused(ax):
    layer = layer_with_one_large_weight(source=2, target=4)
    with torch.no_grad():
        layer.weight[0] = float("nan")
    with pytest.raises(ValueError, match=r"finite weights \(got NaN or infinity\)"):
        plot_adjacency(layer, ax=ax)


def test_the_scale_of_several_matrices_is_that_of_weights_between_hidden_units():
    layer = layer_with_one_large_weight(source=2, target=4)
    source, target = layer.graph.edge_index
    with torch.no_grad():
        layer.weight[(source == 0) & (target == 1)] = 100.0  # of an input
    assert darkest(layer) == 2.0
    with torch.no_grad():
        layer.weight.zero_()
    assert darkest(layer) is None


def test_units_are_named_by_their_ids_and_by_their_modules(ax):
    layer = layer_with_one_large_weight(source=2, target=4)
    plot_adjacency(layer, ax=ax)
    # Input 0, hidden units 1 to 4: rows and columns are centred on their ids.
    assert ax.images[0].get_extent() == [0.5, 4.5, 4.5, 0.5]
    assert ax.get_xlabel() == "source unit"
    assert all(tick == round(tick) for tick in ax.get_xticks())
    ax = Figure().subplots()
    plot_adjacency(layer, torch.tensor([-1, 1, -1, 0, 1, -1]), ax=ax)
    assert ax.get_yticks().tolist() == [0.0, 1.0, 2.5]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["shared", "0", "1"]
    assert ax.get_ylabel() == "module of target unit"


@pytest.mark.parametrize("vmax", [0.0, -1.0, float("nan")])
def test_a_scale_without_extent_is_refused(ax, vmax):
    with pytest.raises(ValueError, match="vmax > 0"):
        plot_adjacency(layer_with_one_large_weight(source=2, target=4), vmax=vmax, ax=ax)


def test_a_layer_without_hidden_units_is_refused(ax):
    layer = SynchronousGraph(UnitGraph(torch.tensor([[0], [1]]), 2, 1, 1))
    with pytest.raises(ValueError, match="with hidden units"):
        plot_adjacency(layer, ax=ax)


@pytest.mark.parametrize(
    "plot",
    [
        plot_adjacency,
        plot_spectrum,
        plot_unit_graph,
        lambda layer, ax: plot_convergence(layer, torch.rand(2, 1), ax=ax),
        lambda layer, ax: plot_module_sizes(layer, LABELS, ax=ax),
    ],
)
def test_what_is_not_a_layer_is_refused_by_every_figure_of_one(ax, plot):
    layer = cut(SynchronousGraph(UnitGraph.complete(1, 4, 1)), LABELS)
    with pytest.raises(TypeError, match=r"a SynchronousGraph \(got ModularGraph\)"):
        plot(ModularGraph(split(layer)), ax=ax)


def test_the_sizes_are_those_of_a_cut_layer_unless_others_are_given(ax):
    layer = SynchronousGraph(UnitGraph.complete(1, 4, 1))
    with pytest.raises(ValueError, match=r"labels of a layer that is not cut \(got none\)"):
        plot_module_sizes(layer, ax=ax)
    labels = torch.tensor([-1, 0, 1, 1, 1, -1])
    plot_module_sizes(cut(layer, labels), ax=ax)
    given = plot_module_sizes(layer, labels, ax=Figure().subplots())
    heights = [[bar.get_height() for bar in one.patches] for one in (ax, given)]
    assert heights[0] == heights[1]
    assert len(heights[0]) == 4


def test_without_matplotlib_the_remedy_is_said():
    layer = layer_with_one_large_weight(source=2, target=4)
    with (
        patch.dict("sys.modules", {"matplotlib": None}),
        pytest.raises(ImportError, match=r"pip install 'pyg-modules\[report\]'"),
    ):
        plot_adjacency(layer)


def test_a_unit_of_many_that_is_joined_with_all_is_seen(ax):
    num_hidden, hub = 1000, 503  # Not the first of the 4 units of its square.
    edges = torch.tensor([[unit, hub] for unit in range(2, 2 + num_hidden)])
    layer = SynchronousGraph(UnitGraph(edges.T, 2 + num_hidden + 1, 2, 1))
    with torch.no_grad():
        layer.weight.fill_(-0.5)
    plot_adjacency(layer, ax=ax)
    (image,) = ax.images
    values = image.get_array()
    assert values.shape == (250, 250)
    assert values[(hub - 2) // 4].tolist() == [0.5] * 250
    assert values.sum() == 0.5 * 250
    assert ax.get_xlim() == (1.5, 1001.5)
    assert ax.get_ylim() == (1001.5, 1.5)
