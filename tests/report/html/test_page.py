import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pyg_modules.experiment import MODELS
from pyg_modules.report.html.page import render_page

SECTIONS = [
    "summary",
    "accuracies",
    "graph",
    "adjacency",
    "training",
    "sizes",
    "lesions",
    "attribution",
    "dynamics",
    "independence",
    "reproduce",
]


class Page(HTMLParser):
    """The start tags of a page, its text outside of scripts and styles, and rows of tables."""

    def __init__(self, source):
        super().__init__()
        self.tags = []
        self.rows = []
        self.text = ""
        self._inside = None
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, _tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside in ("script", "style"):
            return
        self.text += data
        if self._inside in ("th", "td", "code") and self.rows and data.strip():
            self.rows[-1].append(data.replace("\u202f", " "))

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def page(run):
    return Page(render_page(run, "runs/digits"))


def test_sections_come_in_order_with_language_and_title(page):
    assert [attributes["id"] for attributes in page.all("section")] == SECTIONS
    assert page.all("html") == [{"lang": "en"}]
    assert "digits: 3 neural modules" in page.text


def test_the_table_of_accuracies_has_the_figures_and_their_meaning(page, run):
    rows = {row[-1]: row for row in page.rows if len(row) == 4}
    assert run.test_score.keys() == MODELS.keys() - {"random_cut"}
    for name in run.test_score:
        meaning = MODELS[name]
        accuracy, parameters = run.test_score[name], run.num_parameters[name]
        assert rows[name] == [
            meaning,
            f"{accuracy:.2%}".replace("%", " %"),
            f"{parameters:,}",
            name,
        ]


def test_it_says_how_many_edges_are_shown(page, run):
    text = " ".join(page.text.split())
    assert f"Of {run.finetuned.graph.num_edges:,} edges, the 500 with the largest weights" in text


def test_settings_and_versions_are_listed(page, run):
    rows = [tuple(row) for row in page.rows]
    assert ("learning_rate", "0.003") in rows
    assert ("num_hidden", "13") in rows
    assert ("torch", run.environment["versions"]["torch"]) in rows


def test_every_picture_is_inline_and_has_an_alternative(page):
    images = page.all("img")
    assert len(images) == 10
    for image in images:
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 20


def test_nothing_is_fetched(page):
    assert not page.all("link")
    assert not page.all("iframe")
    assert not [attributes for attributes in page.all("script") if "src" in attributes]
    policy = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy[0].startswith("default-src 'none'")


def test_names_are_escaped(run):
    name = "<script>alert(1)</script><b>\"&'"
    versions = {"torch": "<i>2</i>"}
    environment = {"num_threads": 1, "versions": versions}
    source = render_page(replace(run, dataset=name, environment=environment), "<u>'runs'")
    assert "alert(1)</script>" not in source
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source
    page = Page(source)
    assert name in page.text
    assert "<i>2</i>" in page.text
    assert not page.all("u")


def test_a_figure_that_cannot_be_drawn_is_left_out_and_says_why(run):
    page = Page(render_page(replace(run, histories={"regularized": [], "finetuned": []}), "runs"))
    assert len(page.all("img")) == 9
    text = " ".join(page.text.split())
    assert re.search(r"trained on: not drawn\. Expected a record at least .*Train an epoch\.", text)


def test_without_training_on_nothing_says_that_there_was_some(run):
    after = replace(run.config, finetune_epochs=0)
    histories = {**run.histories, "finetuned": []}
    page = Page(render_page(replace(run, config=after, histories=histories), "runs/digits"))
    assert ", trained on" not in page.text
    assert "the task alone again" not in page.text
    names = [row[-1] for row in page.rows if len(row) == 4]
    assert names == ["in the files", "mlp", "free", "regularized", "cut", "random_modules"]
    (result,) = [attributes for attributes in page.all("tr") if attributes.get("class")][:1]
    assert result == {"class": "result"}
