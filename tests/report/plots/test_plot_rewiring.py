import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import UnitGraph
from pyg_modules.report import plot_rewiring

BEFORE = UnitGraph(torch.tensor([[0, 1, 2, 3, 3], [1, 2, 1, 3, 4]]), 5, 1, 1)
AFTER = UnitGraph(torch.tensor([[0, 1, 1, 3, 2], [1, 2, 3, 3, 4]]), 5, 1, 1)
NONE, KEPT, REMOVED, ADDED = range(4)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_edges_between_hidden_units_are_kept_removed_or_added(ax):
    assert plot_rewiring(BEFORE, AFTER, ax=ax) is ax
    (image,) = ax.images
    expected = [[NONE, REMOVED, NONE], [KEPT, NONE, NONE], [ADDED, NONE, KEPT]]
    numpy.testing.assert_array_equal(image.get_array(), expected)
    assert image.get_extent() == [0.5, 3.5, 3.5, 0.5]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["kept (2)", "removed (1)", "added (1)"]
    colors = [patch.get_facecolor() for patch in ax.get_legend().get_patches()]
    numpy.testing.assert_allclose(image.cmap(image.norm([KEPT, REMOVED, ADDED])), colors)


def test_with_labels_units_are_in_the_order_of_their_modules(ax):
    plot_rewiring(BEFORE, AFTER, torch.tensor([-1, 1, 0, 0, -1]), ax=ax)
    expected = [[NONE, NONE, KEPT], [NONE, KEPT, ADDED], [REMOVED, NONE, NONE]]
    numpy.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert ax.get_xlabel() == "module of source unit"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1"]


def test_a_graph_that_stays_has_kept_edges_alone(ax):
    graph = UnitGraph.complete(2, 3, 1)
    plot_rewiring(graph, graph, ax=ax)
    assert (ax.images[0].get_array() == KEPT).all()


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        (None, AFTER, TypeError, r"before to be a UnitGraph \(got NoneType"),
        (BEFORE, None, TypeError, r"after to be a UnitGraph"),
        (BEFORE, UnitGraph.complete(1, 4, 1), ValueError, r"two graphs of the same units"),
        (BEFORE, UnitGraph.complete(2, 2, 1), ValueError, r"two graphs of the same units"),
        (UnitGraph.complete(2, 0, 1), AFTER, ValueError, r"before to have a hidden unit"),
    ],
)
def test_graphs_of_other_units_are_refused(ax, before, after, error, message):
    with pytest.raises(error, match=message):
        plot_rewiring(before, after, ax=ax)


def test_bad_labels_are_refused(ax):
    with pytest.raises(ValueError, match=r"\[5\], one per unit"):
        plot_rewiring(BEFORE, AFTER, torch.tensor([0, 1]), ax=ax)
