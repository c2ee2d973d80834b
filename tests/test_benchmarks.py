import json

import pytest

from benchmarks.accuracy.partition import __main__ as partition
from benchmarks.accuracy.partition import planted
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


@pytest.mark.filterwarnings("default")  # PyG may warn.
def test_the_quick_partition_benchmark_measures_everything(tmp_path):
    partition.main(["--quick", "--out", str(tmp_path / "partition.json")])
    results = json.loads((tmp_path / "partition.json").read_text())
    for name in planted.SETTINGS:
        (run,) = results[name]["runs"]
        assert -1 <= run["ari"] <= 1
        assert 0 <= run["cut"] <= 1
    assert {run["dataset"] for run in results["networks"]} == {"mnist1d", "digits"}
    for row in results["post_hoc"]:
        peers = {name: cut for name, cut in row["normalized_cut"].items() if name != "ours"}
        assert row["ratio"] == pytest.approx(min(peers.values()) / row["normalized_cut"]["ours"])
    assert results["scale"]["million"]["num_edges"] == 10_000
