"""The page in a browser without a network."""

from contextlib import contextmanager
from io import BytesIO
from itertools import combinations

import numpy
import pytest
import torch
from PIL import Image

from pyg_modules.report.palette import CATEGORIES

MODULE = 1
IS_READY = "window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle"
PLOT = "const plot = Bokeh.documents[0].get_model_by_name('unit_graph');"
VISIBILITY = f"() => {{ {PLOT} return plot.renderers.map((r) => [r.tags, r.visible]); }}"
POSITIONS = f"""(group) => {{
  {PLOT}
  const view = Bokeh.index.find_one(plot);
  const box = view.canvas_view.el.getBoundingClientRect();
  const data = plot.renderers.find((renderer) => renderer.name === group).data_source.data;
  return Array.from(data.id, (id, i) => [
    id,
    box.x + view.frame.x_scale.compute(data.x[i]),
    box.y + view.frame.y_scale.compute(data.y[i]),
  ]);
}}"""
BOXES = """() => Array.from(
  document.querySelectorAll("header, section, h1, h2, p, fieldset, figure, table, pre, li, #plot"),
  (element) => {
    const box = element.getBoundingClientRect();
    const inside = [];
    for (let e = element; e; e = e.parentElement) inside.push(e);
    return {
      name: element.tagName + "#" + element.id + " " + element.textContent.trim().slice(0, 40),
      box: [box.left, box.top, box.right, box.bottom],
      scrolls: !!element.closest(".scroll"),
      path: inside.map((e) => Array.prototype.indexOf.call(document.all, e)),
    };
  },
)"""


@pytest.fixture(params=[1280, 400])
def opened(request, browser, report):
    """The page, at a width; a message in the console, an error or a request fails the test."""
    with opened_page(browser, report, request.param) as page:
        yield page


@contextmanager
def opened_page(browser, path, width):
    context = browser.new_context(
        offline=True, viewport={"width": width, "height": 900}, device_scale_factor=1
    )
    page = context.new_page()
    troubles, requests = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda sent: requests.append(sent.url))
    page.goto(path.as_uri())
    page.wait_for_function(IS_READY)
    yield page
    context.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


def num_pixels(page, color):
    """How many pixels of the drawing have exactly this colour."""
    pixels = numpy.array(Image.open(BytesIO(page.locator("#plot").screenshot())).convert("RGB"))
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((pixels == rgb).all(axis=-1).sum())


def num_pixels_become(page, color, expected):
    """Whether there are so many of them after a few frames: Bokeh does not draw at once."""
    return any(num_pixels(page, color) == expected for _ in range(50))


def test_it_opens_without_a_message_or_a_request(opened):
    assert opened.title() == "digits: 3 neural modules"
    assert num_pixels(opened, CATEGORIES[MODULE]) > 50


def test_a_module_is_switched_off_and_on_by_the_keyboard(opened):
    key = f"module-{MODULE}"
    before = num_pixels(opened, CATEGORIES[MODULE])
    box = opened.get_by_label(f"module {MODULE}")
    opened.get_by_label(f"module {MODULE - 1}").focus()
    opened.keyboard.press("Tab")
    assert box.evaluate("(element) => element === document.activeElement")
    opened.keyboard.press("Space")
    opened.mouse.move(0, 0)
    visibility = opened.evaluate(VISIBILITY)
    assert sum(key in tags for tags, _ in visibility) > 3
    assert all(visible == (key not in tags) for tags, visible in visibility)
    assert num_pixels_become(opened, CATEGORIES[MODULE], 0)
    opened.keyboard.press("Space")
    assert all(visible for _, visible in opened.evaluate(VISIBILITY))
    assert num_pixels_become(opened, CATEGORIES[MODULE], before)


def test_a_unit_tells_its_strongest_partners(opened, run):
    opened.locator("#plot").scroll_into_view_if_needed()
    graph, weight = run.finetuned.graph, run.finetuned.weight.detach()
    unit, x, y = opened.evaluate(POSITIONS, f"module-{MODULE}")[0]
    assert int(run.labels[unit]) == MODULE
    opened.mouse.move(x, y)
    content = opened.locator(".bk-Tooltip .bk-tooltip-content")
    content.wait_for()
    lines = content.inner_text().splitlines()

    def name(other):
        if other in graph.inputs:
            return f"input {other}"
        return (
            f"output {other - graph.outputs.start}" if other in graph.outputs else f"unit {other}"
        )

    def strongest(end):
        edges = torch.nonzero(graph.edge_index[end] == unit).view(-1)
        edges = edges[weight[edges].abs().argsort(descending=True)][:5]
        return [
            f"{name(int(graph.edge_index[1 - end, edge]))} {weight[edge]:+.3f}".replace("-", "−")
            for edge in edges
        ]

    assert lines[:2] == [f"unit {unit}", f"hidden, module {MODULE}"]
    text = "\n".join(lines)
    assert "receives from\n" + "\n".join(strongest(1)) in text
    assert "sends to\n" + "\n".join(strongest(0)) in text


@pytest.mark.parametrize("group", ["inputs", "module-0", "module-1", "module-2", "outputs"])
def test_what_a_unit_tells_is_within_the_page(opened, group):
    opened.locator("#plot").scroll_into_view_if_needed()
    width = opened.evaluate("() => innerWidth")
    content = opened.locator(".bk-Tooltip .bk-tooltip-content")
    units = sorted(opened.evaluate(POSITIONS, group), key=lambda unit: unit[1])
    for _, x, y in (units[0], units[len(units) // 2], units[-1]):
        opened.mouse.move(x, y)
        content.wait_for()
        box = content.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_a_click_selects_the_whole_command(opened):
    opened.locator("#command").click()
    selected = opened.evaluate("() => getSelection().toString()")
    assert selected.strip().startswith("pyg-modules train --dataset digits --num-modules 3 ")
    assert "\n" not in selected.strip()


def test_nothing_overlaps_and_the_page_does_not_scroll_sideways(opened):
    assert num_apart(opened) > 40


def num_apart(opened):
    """How many boxes the page has, none of which overlaps another or is cut off."""
    width = opened.evaluate("() => innerWidth")
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= width
    boxes = opened.evaluate(BOXES)
    for box in boxes:
        left, top, right, bottom = box["box"]
        assert right > left, box
        assert bottom > top, box
        assert box["scrolls"] or (left >= 0 and right <= width), box
    for one, other in combinations(boxes, 2):
        if one["path"][0] in other["path"] or other["path"][0] in one["path"]:
            continue
        (a, b, c, d), (e, f, g, h) = one["box"], other["box"]
        apart = c <= e + 0.5 or g <= a + 0.5 or d <= f + 0.5 or h <= b + 0.5
        assert apart or (one["scrolls"] and other["scrolls"]), (one, other)
    return len(boxes)


def test_both_colour_schemes_are_legible(browser, report):
    """The contrast of text and page is that which WCAG asks for, 7 to 1."""

    def luminance(color):
        channels = [int(value) / 255 for value in color[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    seen = []
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme)
        page = context.new_page()
        page.goto(report.as_uri())
        style = "getComputedStyle(document.body)"
        colors = [page.evaluate(f"{style}.{name}") for name in ("color", "backgroundColor")]
        context.close()
        text, paper = map(luminance, colors)
        seen.append(paper)
        assert (max(text, paper) + 0.05) / (min(text, paper) + 0.05) >= 7
    assert seen[0] > 0.5 > seen[1]


def test_the_drawing_fills_its_panel(opened):
    box = opened.locator("#plot").bounding_box()
    points = opened.evaluate(POSITIONS, "inputs") + opened.evaluate(POSITIONS, "outputs")
    across = [x for _, x, _ in points]
    assert max(across) - min(across) > 0.75 * box["width"]
    up = [
        y
        for name in ("module-0", "module-1", "module-2", "inputs", "outputs")
        for _, _, y in opened.evaluate(POSITIONS, name)
    ]
    assert max(up) - min(up) > 0.4 * box["height"]


def test_no_table_of_networks_is_wider_than_the_page(opened):
    widths = opened.locator("#accuracies .scroll").evaluate("(e) => [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1]
