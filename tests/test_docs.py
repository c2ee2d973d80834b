import importlib
import re

import matplotlib
import pytest

import pyg_modules
from benchmarks.accuracy.comparison import claims
from benchmarks.markdown import filled
from benchmarks.tables import PAGES as PAGES_WITH_TABLES
from benchmarks.tables import ROOT
from tests.processes import free_port, set_rank, start_ranks

DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "notebooks/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
PACKAGE = ROOT / "pyg_modules"
ROOMS = sorted(
    ".".join(path.parent.relative_to(PACKAGE).parts)
    for path in PACKAGE.rglob("*/__init__.py")
    if "__all__" in path.read_text(encoding="utf-8")
)
BLOCK = re.compile(r"^```(?:\{code-block\} )?python\n(.*?)^```", re.DOTALL | re.MULTILINE)
STARTED = re.compile(r"# torchrun --nproc-per-node (\d+) \S+\n")
DIRECTIVE = re.compile(r"^\.\. (?:auto(?:class|function|exception|data)|py:data):: (\S+)$", re.M)


def name_of(page):
    return str(page.relative_to(ROOT))


# What Lightning advises.
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, monkeypatch, tmp_path):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        started = STARTED.match(block)
        if started is None:
            exec(compile(block, str(page), "exec"), namespace)
            continue
        start_ranks(run_as_torchrun_does, int(started[1]), int(started[1]), block, free_port())


def run_as_torchrun_does(rank, num_ranks, block, port):
    set_rank(rank, num_ranks, port)
    exec(compile(block, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_there(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES_WITH_TABLES, ids=name_of)
def test_the_tables_are_those_of_the_committed_results(page):
    text = page.read_text(encoding="utf-8")
    assert filled(text, PAGES_WITH_TABLES[page]) == text


def test_every_sentence_with_a_condition_holds_by_the_committed_results():
    found = [claim for page in claims.PAGES for claim in claims.claims(page.read_text("utf-8"))]
    assert found
    assert [str(claim) for claim in found if claims.contradictions(claim) != []] == []


def test_a_missing_table_is_an_error():
    with pytest.raises(ValueError, match=r"table: speed.*once in the text \(got 0\)"):
        filled("no tables", {"speed": str})


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_is_on_its_page_once(room):
    text = (DOCS / "api" / f"{room}.md").read_text(encoding="utf-8")
    module = importlib.import_module(f"pyg_modules.{room}")
    assert sorted(DIRECTIVE.findall(text)) == sorted(module.__all__)
    assert set(re.findall(r"currentmodule:: (\S+)", text)) == {module.__name__}


def test_every_page_of_the_api_is_that_of_a_room():
    assert sorted(page.stem for page in (DOCS / "api").glob("*.md")) == sorted(["index", *ROOMS])


def test_the_top_level_names_are_those_of_rooms():
    public = set(pyg_modules.__all__) - {"__version__"}
    in_rooms = {
        name
        for room in ROOMS
        for name in importlib.import_module(f"pyg_modules.{room}").__all__
        if getattr(pyg_modules, name, None)
        is getattr(importlib.import_module(f"pyg_modules.{room}"), name)
    }
    assert public == in_rooms
