import json
import subprocess
import sys

import pytest

from benchmarks.speed.revisions import NAME_BEFORE, ROOT

PROGRAM = [sys.executable, "-m", "benchmarks.speed.revisions"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_two_revisions_run_in_one_process(tmp_path):
    out = tmp_path / "revisions.json"
    command = [*PROGRAM, "--before", "HEAD", "--quick", "--rounds", "2", "--out", str(out)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    results = json.loads(out.read_text())
    assert results["before"] == results["after"].removesuffix("-dirty")
    (row,) = results["rows"]
    assert (row["num_hidden"], row["density"], row["rounds"]) == (64, 0.2, 2)
    assert set(row["milliseconds"]) == set(row["backend"]) == {"before", "after"}
    assert row["ratio"] > 0
    assert f"ratio {row['ratio']:.3f}" in ran.stdout


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_the_package_before_is_another_one(tmp_path):
    code = (
        "import sys, pathlib, pyg_modules\n"
        "from benchmarks.speed.revisions import import_before\n"
        "before = import_before('HEAD', pathlib.Path(sys.argv[1]))\n"
        "assert before.SynchronousGraph is not pyg_modules.SynchronousGraph\n"
        "print(before.SynchronousGraph.__module__)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == f"{NAME_BEFORE}.nn.synchronous_graph", ran.stderr


def test_an_unknown_revision_is_refused():
    command = [*PROGRAM, "--before", "no-such-revision", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "git archive no-such-revision pyg_modules: fatal" in ran.stderr
