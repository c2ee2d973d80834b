from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from pyg_modules.experiment import write_run
from pyg_modules.report.html import check_report_libraries, write_report, write_run_with_report


def test_the_page_is_written_into_the_folder_and_nothing_else(run, tmp_path):
    write_run(run, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    path = write_report(str(tmp_path))
    assert path == tmp_path / "report.html"
    assert {path.name for path in tmp_path.iterdir()} == before | {"report.html"}
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_stays_if_the_run_is_damaged(run, tmp_path):
    write_run(run, tmp_path)
    (tmp_path / "report.html").write_text("earlier")
    (tmp_path / "labels.json").write_text("[")
    with pytest.raises(ValueError, match="Expected all files of one run"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "earlier"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere, without metrics.json.*make one by pyg-"):
        write_report(tmp_path / "nowhere")


def test_a_run_its_picture_and_its_page_are_written_together(run, tmp_path):
    write_run(run, tmp_path / "one")
    write_report(tmp_path / "one")
    path = write_run_with_report(run, tmp_path / "two")
    assert path == tmp_path / "two" / "report.html"
    files = [
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")}
        for name in ("one", "two")
    ]
    assert files[1] == files[0] | {Path("partition.png")}
    assert f"--out {tmp_path / 'two'}" in path.read_text(encoding="utf-8")


def test_where_the_page_cannot_be_made_no_file_of_the_run_appears(run, tmp_path):
    broken = replace(run, labels=run.labels.flip(0))
    with pytest.raises(ValueError, match=r"labels\.json.* of another run"):
        write_run_with_report(broken, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_name_is_refused(run):
    with pytest.raises(ValueError, match="the name of a folder"):
        write_run(run, "")


@pytest.mark.parametrize("missing", ["bokeh", "jinja2", "matplotlib"])
def test_a_missing_library_is_named_with_the_remedy(missing):
    message = rf"needs {missing}: pip install 'pyg-modules\[report\]'"
    # An entry of None is how Python marks a module that cannot be imported.
    with patch.dict("sys.modules", {missing: None}), pytest.raises(ImportError, match=message):
        check_report_libraries()


def test_what_looks_like_mathematics_in_the_name_of_data_is_no_mathematics(run, tmp_path):
    named = replace(run, dataset="cost_$x^$.csv")
    write_run_with_report(named, tmp_path)
    assert "cost_$x^$.csv" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "partition.png").stat().st_size > 0
