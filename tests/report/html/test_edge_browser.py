"""The figures of edges that came and went, in a browser without a network."""

import pytest
import torch
from playwright.sync_api import expect

from pyg_modules import SynchronousGraph, UnitGraph, partition_units
from pyg_modules.report import report
from pyg_modules.structure import SparseSchedule
from tests.report.html.test_browser import num_apart, opened_page

KEYS = ["edge-history", "edges-before", "edges-after", "edge-in-degree", "edge-out-degree"]
# Where a point of the data of a chart is on the screen.
PLACE = """([number, x, y]) => {
  const plot = Bokeh.documents[0].roots()[number];
  const view = Bokeh.index.find_one(plot);
  const box = view.canvas_view.el.getBoundingClientRect();
  return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
}"""
RANGE = """(number) => {
  const range = Bokeh.documents[0].roots()[number].x_range;
  return [range.start, range.end];
}"""


@pytest.fixture(scope="module")
def schedule():
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2))
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(1, 2, layer.graph.num_edges).sin())
    schedule = SparseSchedule(layer, epochs=4, num_edges=100, grow="random", exchange=0.5)
    for epoch in range(4):
        schedule.step(epoch)
    return schedule


@pytest.fixture(scope="module", params=[False, True], ids=["ids", "labels"])
def page_of_layer(request, schedule, tmp_path_factory):
    x, y = torch.rand(32, 3, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 2
    labels = partition_units(schedule.layer, 2) if request.param else None
    out = tmp_path_factory.mktemp("edges") / "layer.html"
    return report(schedule.layer, x, y, labels=labels, schedule=schedule, out=out), labels


@pytest.fixture(scope="module", params=[1280, 400])
def width(request):
    return request.param


@pytest.fixture(scope="module")
def page(width, browser, page_of_layer):
    """For all tests that leave it as it was: to open it takes longer than they do."""
    with opened_page(browser, page_of_layer[0], width) as page:
        yield page


@pytest.fixture
def opened(page):
    """The page, with nothing that is pointed at."""
    page.mouse.move(0, 0)
    expect(page.locator(".bk-Tooltip .bk-tooltip-content")).to_have_count(0)
    return page


def told(page, key, x, y):
    """What a chart tells of a point of its data, within the page."""
    number = 1 + KEYS.index(key)
    page.locator("#edges .chart").nth(number - 1).scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(PLACE, [number, x, y]))
    content = page.locator(".bk-Tooltip .bk-tooltip-content")
    content.wait_for()
    box = content.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.evaluate("() => innerWidth")
    return content.inner_text()


def test_it_opens_without_a_message_and_nothing_overlaps(opened):
    assert opened.locator("#edges .chart canvas").count() >= 5
    assert num_apart(opened) > 25


def test_an_epoch_tells_its_numbers(opened, schedule):
    for epoch in (1, 2, 4):
        _, edges, stayed, grown, pruned, left = schedule.history[epoch - 1]
        assert told(opened, "edge-history", epoch, 20) == (
            f"epoch {epoch}: {edges} edges\n{stayed} there from the first\n{grown} grown now,"
            f" {left} of them there still\n{pruned} pruned now"
        )


@pytest.mark.parametrize("key", ["edges-before", "edges-after"])
def test_a_square_tells_its_edge(opened, schedule, page_of_layer, key):
    hidden, labels = list(range(3, 15)), page_of_layer[1]
    if labels is not None:
        hidden.sort(key=lambda unit: int(labels[unit]))
    begin = 3 if labels is None else 0
    was, now = (
        set(map(tuple, graph.edge_index.T.tolist()))
        for graph in (schedule.first_graph, schedule.layer.graph)
    )
    for column, row in ((0, 0), (11, 1), (2, 9), (5, 6)):
        edge = hidden[column], hidden[row]
        numbers = edge in was & now, edge in was - now, edge in now - was
        assert told(opened, key, begin + column, begin + row) == (
            f"unit {edge[0]} → unit {edge[1]}\n{{:d}} kept, {{:d}} removed, {{:d}} added".format(
                *numbers
            )
        )


def test_a_bar_tells_its_units(opened, schedule):
    was, now = (
        torch.bincount(graph.edge_index[1])[3:15]
        for graph in (schedule.first_graph, schedule.layer.graph)
    )
    degree = int(now.mode().values)
    before, after = int((was == degree).sum()), int((now == degree).sum())
    assert after > 1
    assert told(opened, "edge-in-degree", degree, 0.5) == (
        f"{degree} edges\nbefore: {before} units\nafter: {after} units"
    )


def test_what_is_zoomed_in_one_matrix_is_zoomed_in_the_other(page_of_layer, browser, width):
    with opened_page(browser, page_of_layer[0], width) as page:
        before = page.evaluate(RANGE, 2)
        chart = page.locator("#edges .chart").nth(1)
        chart.scroll_into_view_if_needed()
        chart.get_by_title("Wheel Zoom").click()
        x, y = page.evaluate(PLACE, [2, sum(before) / 2, sum(before) / 2])
        page.mouse.move(x, y)
        page.mouse.wheel(0, -240)
        page.wait_for_function(
            f"(old) => {{ const range = ({RANGE})(2); return range[1] - range[0] < 0.9 * old; }}",
            arg=before[1] - before[0],
        )
        assert page.evaluate(RANGE, 2) == page.evaluate(RANGE, 3)
        assert page.evaluate(RANGE, 2)[0] > before[0]
