import json

import pytest

from benchmarks.accuracy.partition import __main__ as partition
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


def test_the_quick_partition_benchmark_measures_everything(tmp_path):
    pytest.importorskip("pymetis")
    partition.main(["--quick", "--out", str(tmp_path / "partition.json")])
    results = json.loads((tmp_path / "partition.json").read_text())
    for name in ("planted_4", "planted_8", "planted_unequal"):
        result = results[name]
        assert sum(result["runs"][0]["module_sizes"]) > result["setting"]["num_hidden"]
    assert [run["config"]["modules"] for run in results["networks"]] == [4, 8]
    assert [row["kind"] for row in results["post_hoc"]] == ["network", "planted graph"]
    methods = {"scikit-learn spectral", "METIS", "PyG MinCut", "ours"}
    assert all(set(row["normalized_cut"]) == methods for row in results["post_hoc"])
    assert results["scale"]["million"]["num_edges"] == 10_000
