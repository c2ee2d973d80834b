import numpy
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

from pyg_modules import SynchronousGraph, UnitGraph
from pyg_modules.report import plot_degrees

# Inputs 0 and 1, hidden units 2 to 4, output 5.
EDGES = torch.tensor([[0, 1, 0, 2, 3, 2], [2, 2, 3, 3, 4, 5]])


@pytest.fixture
def ax():
    return Figure().subplots()


def counts(ax):
    """Number of units by degree, of the outlines."""
    outlines = [patch for patch in ax.patches if patch.get_label().startswith(("in-", "out-"))]
    found = []
    for patch in outlines:
        values, edges, _ = patch.get_data()
        bars = zip(edges[:-1], values, strict=True)
        found.append({int(edge + 0.5): int(value) for edge, value in bars if value})
    return found


def test_what_is_drawn_is_not_drawn_over_and_what_is_prepared_is_taken():
    graph = UnitGraph(EDGES, 6, 2, 1)
    pyplot.gca().semilogy([1, 10])  # Of another figure.
    first, second = plot_degrees(graph), plot_degrees(graph)
    assert first.figure is not second.figure
    assert pyplot.gca() is second
    assert [counts(first), counts(second)] == [counts(first)] * 2
    assert first.get_yscale() == "linear"
    wide = pyplot.figure(figsize=(9, 2))
    assert plot_degrees(graph).figure is wide
    left = pyplot.subplot(1, 2, 1, label="of a figure that is divided")
    assert plot_degrees(graph) is left
    right = pyplot.subplot(1, 2, 2)
    assert plot_degrees(graph) is right


def test_hidden_units_are_counted_by_their_degrees(ax):
    assert plot_degrees(UnitGraph(EDGES, 6, 2, 1), ax=ax) is ax
    assert counts(ax) == [{2: 2, 1: 1}, {2: 1, 1: 1, 0: 1}]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["in-degree, mean 1.7", "out-degree, mean 1.0"]


def test_degrees_before_are_dashed_in_the_same_bars(ax):
    before = UnitGraph(EDGES, 6, 2, 1)
    # Without the cycle of hidden units; unit 4 is on its own.
    plot_degrees(before.with_edges(EDGES[:, [0, 1, 2, 5]]), before=before, ax=ax)
    assert counts(ax) == [
        {2: 1, 1: 1, 0: 1},
        {2: 2, 1: 1},
        {1: 1, 0: 2},
        {2: 1, 1: 1, 0: 1},
    ]
    handles = ax.get_legend().legend_handles
    assert [handle.get_label() for handle in handles] == [
        "in-degree, mean 1.0",
        "in-degree before, mean 1.7",
        "out-degree, mean 0.3",
        "out-degree before, mean 1.0",
    ]
    styles = [patch.get_linestyle() for patch in ax.patches if patch.get_label().endswith("7")]
    assert styles == ["--"]


def test_degrees_in_a_wide_range_share_bars(ax):
    # Unit 1 receives from all.
    source = torch.arange(1, 201)
    edges = torch.stack([source, torch.ones_like(source)])
    plot_degrees(UnitGraph(edges, 202, 1, 1), ax=ax)
    values, edges, _ = ax.patches[0].get_data()
    assert values.sum() == 200
    assert values[-1] + values[-2] == 1
    assert set(numpy.diff(edges)) == {4}
    assert edges[0] < 0
    assert edges[-1] > 200


def test_without_edges_all_have_none(ax):
    plot_degrees(UnitGraph(EDGES[:, :0], 6, 2, 1), ax=ax)
    assert counts(ax) == [{0: 3}, {0: 3}]


def test_what_is_no_graph_of_hidden_units_is_refused(ax):
    layer = SynchronousGraph(UnitGraph.complete(1, 2, 1))
    with pytest.raises(
        TypeError, match=r"graph to be a UnitGraph \(got SynchronousGraph.*layer.gr"
    ):
        plot_degrees(layer, ax=ax)
    with pytest.raises(ValueError, match=r"graph to have a hidden unit \(got none"):
        plot_degrees(UnitGraph.complete(2, 0, 1), ax=ax)
    with pytest.raises(ValueError, match=r"two graphs of the same units"):
        plot_degrees(layer.graph, before=UnitGraph.complete(2, 2, 1), ax=ax)
    with pytest.raises(TypeError, match=r"before to be a UnitGraph"):
        plot_degrees(layer.graph, before=layer, ax=ax)
