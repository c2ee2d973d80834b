import os
import re
import subprocess
import sys

import matplotlib
import pytest

from benchmarks.markdown import filled
from benchmarks.tables import PAGES as PAGES_WITH_TABLES
from benchmarks.tables import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]


# What Lightning advises.
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_runs_as_pasted(page, monkeypatch, tmp_path):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        started = re.match(r"# torchrun (--nproc-per-node \d+) (\S+)\n", block)
        if started is None:
            exec(compile(block, str(page), "exec"), {})
            continue
        (tmp_path / started[2]).write_text(block)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*torchrun, *started[1].split(), started[2]]
        ran = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_there(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES_WITH_TABLES, ids=lambda page: page.name)
def test_the_tables_are_those_of_the_committed_results(page):
    text = page.read_text(encoding="utf-8")
    assert filled(text, PAGES_WITH_TABLES[page]) == text


def test_a_missing_table_is_an_error():
    with pytest.raises(ValueError, match=r"table: speed.*once in the text \(got 0\)"):
        filled("no tables", {"speed": str})
