import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from pyg_modules import UnitGraph
from pyg_modules.report import plot_rewiring
from pyg_modules.report.edge_bins import KINDS

BEFORE = UnitGraph(torch.tensor([[0, 1, 2, 3, 3], [1, 2, 1, 3, 4]]), 5, 1, 1)
AFTER = UnitGraph(torch.tensor([[0, 1, 1, 3, 2], [1, 2, 3, 3, 4]]), 5, 1, 1)
WHITE, GREY, RED, BLUE = [255] * 3, *([*bytes.fromhex(color[1:])] for color in KINDS.values())


@pytest.fixture
def ax():
    return Figure().subplots()


def test_edges_between_hidden_units_are_kept_removed_or_added(ax):
    assert plot_rewiring(BEFORE, AFTER, ax=ax) is ax
    (image,) = ax.images
    expected = [[WHITE, RED, WHITE], [GREY, WHITE, WHITE], [BLUE, WHITE, GREY]]
    assert image.get_array().tolist() == expected
    assert image.get_extent() == [0.5, 3.5, 3.5, 0.5]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["kept (2)", "removed (1)", "added (1)"]
    colors = [patch.get_facecolor() for patch in ax.get_legend().get_patches()]
    assert colors == [to_rgba(color) for color in KINDS.values()]


def test_with_labels_units_are_in_the_order_of_their_modules(ax):
    plot_rewiring(BEFORE, AFTER, torch.tensor([-1, 1, 0, 0, -1]), ax=ax)
    expected = [[WHITE, WHITE, GREY], [WHITE, GREY, BLUE], [RED, WHITE, WHITE]]
    assert ax.images[0].get_array().tolist() == expected
    assert ax.get_xlabel() == "module of source unit"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1"]


def test_a_graph_that_stays_has_kept_edges_alone(ax):
    graph = UnitGraph.complete(2, 3, 1)
    plot_rewiring(graph, graph, ax=ax)
    assert ax.images[0].get_array().tolist() == [[GREY] * 3] * 3


def test_squares_of_many_units_end_beyond_the_last_one(ax):
    edges = torch.tensor([[1, 257], [257, 1]])
    graph = UnitGraph(edges, 259, 1, 1)
    plot_rewiring(graph, graph, ax=ax)
    assert ax.images[0].get_array().shape == (129, 129, 3)
    assert ax.images[0].get_extent() == [0.5, 258.5, 258.5, 0.5]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0.5, 257.5), (257.5, 0.5))


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
