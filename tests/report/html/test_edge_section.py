"""What the figures of edges that came and went hold, without a browser."""

import numpy
import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph
from pyg_modules.report.edge_bins import bin_edges
from pyg_modules.report.html.edge_section import edge_section
from pyg_modules.structure import SparseSchedule

# Directed, with a cycle and a self-loop; input 0, hidden units 1 to 4, output 5.
EDGES = torch.tensor([[0, 0, 0, 0, 1, 2, 3, 3, 1, 2, 3, 4], [1, 2, 3, 4, 2, 1, 3, 1, 5, 5, 5, 5]])
GRAPH = UnitGraph(EDGES, 6, 1, 1)
LABELS = torch.tensor([-1, 1, 0, 1, 0, -1])


def layer_on(graph):
    layer = SynchronousGraph(graph)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(1, 2, graph.num_edges))
    return layer


@pytest.fixture
def schedule():
    """After two epochs, with the weakest edge that no unit needs, 1 to 2, gone."""
    schedule = SparseSchedule(layer_on(GRAPH), 2, num_edges=11, grow=None)
    schedule.step(0)
    schedule.step(1)
    return schedule


def by_key(section):
    return {chart.key: chart for chart in section.figures}


def renderer_with(chart, column):
    """What is drawn of a table that has such a column."""
    found = [one for one in chart.figure.renderers if column in one.data_source.data]
    assert found
    return found[0].data_source.data


def test_every_figure_is_there_and_says_what_it_shows(schedule):
    section = edge_section(schedule.layer.graph, schedule, None)
    assert section.text == (
        "The training began with 12 edges. Its last epoch has 11: 11 were there all along, and 0"
        " are left of 0 that came. Point at an epoch, a bar or a square for its numbers."
    )
    assert {key: chart.caption for key, chart in by_key(section).items()} == {
        "edge-history": "Epoch by epoch: what is there, and below 0 what went",
        "edges-before": "Edges between hidden units before: 3 kept and 1 removed",
        "edges-after": "Edges between hidden units after: 3 kept and 0 added",
        "edge-in-degree": "Edges into a hidden unit: mean 2.0 before, 1.8 after",
        "edge-out-degree": "Edges out of a hidden unit: mean 2.0 before, 1.8 after",
    }


def test_an_epoch_tells_its_numbers(schedule):
    chart = by_key(edge_section(schedule.layer.graph, schedule, None))["edge-history"]
    told = renderer_with(chart, "num_pruned")
    assert {name: list(told[name]) for name in told if name != "index"} == {
        "epoch": [1, 2],
        "num_edges": [12, 11],
        "num_stayed": [12, 11],
        "num_grown": [0, 0],
        "num_pruned": [0, 1],
        "num_left": [0, 0],
        "left": [0.5, 1.5],
        "right": [1.5, 2.5],
        "bottom": [0, -1],
        "top": [12, 11],
    }


@pytest.mark.parametrize(
    ("labels", "order"), [(None, [1, 2, 3, 4]), (LABELS, [2, 4, 1, 3])], ids=["ids", "labels"]
)
def test_a_square_tells_its_edges_and_moves_with_the_other_matrix(schedule, labels, order):
    charts = by_key(edge_section(schedule.layer.graph, schedule, labels))
    before, after = charts["edges-before"].figure, charts["edges-after"].figure
    assert before.x_range is after.x_range
    assert before.y_range is after.y_range
    begin = 0.5 if labels is None else -0.5
    assert (before.x_range.start, before.x_range.end) == (begin, begin + 4)
    assert (before.y_range.start, before.y_range.end) == (begin + 4, begin)
    told = renderer_with(charts["edges-before"], "kept")
    (kept,), (removed,), (added,) = (told[kind] for kind in ("kept", "removed", "added"))
    (source,), (target,) = told["source"], told["target"]
    assert source.tolist() == [order] * 4
    assert target.T.tolist() == [order] * 4

    def edges(squares):
        places = squares.nonzero()
        return set(zip(source[places].tolist(), target[places].tolist(), strict=True))

    assert edges(kept) == {(2, 1), (3, 3), (3, 1)}
    assert edges(removed) == {(1, 2)}
    assert edges(added) == set()
    bins = bin_edges(GRAPH, schedule.layer.graph, labels)
    (colors,) = told["after"]
    expected = bins.rgb(["kept", "added"])
    numpy.testing.assert_array_equal(colors.view(numpy.uint8).reshape(4, 4, 4)[..., :3], expected)
    assert (colors.view(numpy.uint8).reshape(4, 4, 4)[..., 3] == 255).all()
    assert (before.xaxis.axis_label, before.yaxis.axis_label) == (
        ("source unit", "target unit")
        if labels is None
        else ("module of source unit", "module of target unit")
    )
    names = {} if labels is None else {0.5: "0", 2.5: "1"}
    assert before.xaxis[0].major_label_overrides == names


def test_a_bar_tells_its_units_before_and_after(schedule):
    charts = by_key(edge_section(schedule.layer.graph, schedule, None))
    told = renderer_with(charts["edge-in-degree"], "before")
    assert list(told["degree"]) == ["1", "2", "3"]
    assert told["before"].tolist() == [1, 2, 1]
    assert told["after"].tolist() == [2, 1, 1]
    told = renderer_with(charts["edge-out-degree"], "before")
    assert told["before"].tolist() == [1, 2, 1]
    assert told["after"].tolist() == [2, 1, 1]


def test_where_nothing_came_or_went_it_says_so():
    schedule = SparseSchedule(layer_on(GRAPH), 2, num_edges=12, grow=None)
    schedule.step(0)
    text = edge_section(GRAPH, schedule, None).text
    assert text.startswith("No edge has come or gone yet: all 12 are those of the start. Point")


def test_of_another_graph_it_says_so(schedule):
    text = edge_section(GRAPH.with_edges(EDGES[:, 4:]), schedule, None).text
    assert "The layer that is shown has 8, after what was done to it since, such as a cut." in text
