import json
import subprocess
import sys
from contextlib import redirect_stdout

import pytest

import pyg_modules
from benchmarks.speed.revisions import NAME_BEFORE, ROOT, import_before, main
from tests.processes import exit_of_fresh

PROGRAM = [sys.executable, "-m", "benchmarks.speed.revisions"]


# In processes of their own: operators of torch are registered once in each.
def _measure(arguments, printed):
    with printed.open("w") as file, redirect_stdout(file):
        main(arguments)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_two_revisions_run_in_one_process(tmp_path):
    out = tmp_path / "revisions.json"
    arguments = ["--before", "HEAD", "--quick", "--rounds", "2", "--out", str(out)]
    assert exit_of_fresh(_measure, arguments, tmp_path / "printed") == 0
    results = json.loads(out.read_text())
    assert results["before"] == results["after"].removesuffix("-dirty")
    (row,) = results["rows"]
    assert (row["num_hidden"], row["density"], row["rounds"]) == (64, 0.2, 2)
    assert set(row["milliseconds"]) == set(row["backend"]) == {"before", "after"}
    assert row["ratio"] > 0
    assert f"ratio {row['ratio']:.3f}" in (tmp_path / "printed").read_text()


def _look(folder):
    before = import_before("HEAD", folder)
    assert before.SynchronousGraph is not pyg_modules.SynchronousGraph
    assert before.SynchronousGraph.__module__ == f"{NAME_BEFORE}.nn.synchronous_graph"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_the_package_before_is_another_one(tmp_path):
    assert exit_of_fresh(_look, tmp_path) == 0


def test_an_unknown_revision_is_refused():
    command = [*PROGRAM, "--before", "no-such-revision", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "git archive no-such-revision pyg_modules: fatal" in ran.stderr
