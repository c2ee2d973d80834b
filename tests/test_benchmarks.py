import json

import pytest

from benchmarks.speed import __main__ as speed
from benchmarks.speed.peers import PEERS


@pytest.mark.filterwarnings("default")  # Peers may warn.
def test_the_quick_speed_benchmark_measures_everything_and_reports_what_is_missing(
    tmp_path, capsys
):
    speed.main(["--quick", "--out", str(tmp_path / "speed.json")])
    results = json.loads((tmp_path / "speed.json").read_text())
    assert {row["peer"] for row in results["training_step"]} == set(PEERS)
    for row in results["training_step"]:
        assert row["is_installed"] == ("ratio" in row)
    assert results["equilibrium"]["gradient_error"] <= 1e-8
    assert results["memory"]["million"]["num_edges"] == 100_000
    printed = capsys.readouterr().out
    assert all(name in printed for name in PEERS)
