import re

import matplotlib
import pytest

from benchmarks.tables import README, filled

ROOT = README.parent
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "notebooks").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_runs_as_pasted(page):
    matplotlib.use("Agg")
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_there(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_tables_are_those_of_the_committed_results():
    text = README.read_text(encoding="utf-8")
    assert filled(text) == text


def test_a_missing_table_is_an_error():
    with pytest.raises(ValueError, match=r"table: accuracies.*once in the text \(got 0\)"):
        filled("no tables")
