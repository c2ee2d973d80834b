import json

import pytest
import torch

from benchmarks.accuracy.partition import __main__ as partition
from benchmarks.speed import __main__ as speed
from benchmarks.speed import plan, ranks
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


def test_the_plan_counts_time_and_traffic_as_it_says():
    rank = plan.Rank(units=1000, edges=8000, batch=4, updates=3, seconds=1.0, gigabytes=2.0)
    even = plan.Assumptions(spread_of_sizes=0.0, spread_of_speed=0.0)
    alone = plan.simulate(rank, even, 1)
    for kind in ("modules", "slices"):
        assert alone[kind]["seconds"] == alone[kind]["efficiency"] == 1.0
        assert alone[kind]["bytes_per_rank"] == 0
    two = plan.simulate(rank, even, 2)
    assert (two["units"], two["edges"]) == (2000, 16000)
    outputs, states = 4 * 100 * 4, 4 * 2000 * 4
    assert two["modules"]["bytes_per_rank"] == outputs
    assert two["slices"]["bytes_per_rank"] == 4 * states / 2
    hop = 20e-6
    assert two["modules"]["seconds"] == pytest.approx(1 + 2 * (hop + outputs / 2 / 3.1e9))
    assert two["slices"]["seconds"] == pytest.approx(1 + 4 * (hop + states / 2 / 3.1e9))
    assert two["modules"]["gigabytes"] == pytest.approx(2 + 2 * 8000 * 4 / 2**30)
    # Unequal modules and waiting cost time; the same seed gives the same numbers.
    uneven = plan.simulate(rank, plan.Assumptions(), 10)
    assert uneven["modules"]["seconds"] > 1.05
    assert uneven == plan.simulate(rank, plan.Assumptions(), 10)


def test_the_quick_benchmark_of_ranks_counts_one_all_reduce():
    result = ranks.run(torch.device("cpu"), quick=True)
    if "skipped" not in result:
        assert result["collectives"] == {"c10d.allreduce_": 1}
        assert result["bytes_per_step"] == result["bytes_of_outputs"] == 128 * 16 * 4
