import json
from subprocess import CalledProcessError

import pytest

from benchmarks.speed import __main__ as speed
from benchmarks.speed import first_use, generators, neighbours, plan
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
    steps = results["acceleration"][0]["steps"]
    assert steps["plain"] == steps["default"]
    assert results["memory"]["million"]["num_edges"] == 100_000
    of_ranks = results["ranks"]
    if "skipped" not in of_ranks:
        assert of_ranks["collectives"] == {"c10d.allreduce_": 1}
        assert of_ranks["bytes_per_step"] == of_ranks["bytes_of_outputs"] == 128 * 16 * 4
    printed = capsys.readouterr().out
    assert all(name in printed for name in PEERS)


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


@pytest.mark.parametrize("name", ["smaller", "modular", "yoked", "layer", "rewiring"])
@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
def test_large_graphs_are_measured_at_any_size(name):
    row = generators.measure(name, 4000)
    sizes = {"smaller": 262, "rewiring": 400}
    assert row["num_units"] == sizes.get(name, 4000) + 20
    mean = {"smaller": 0.0005 * 262 * 282}.get(name, 10 * sizes.get(name, 4000))
    assert row["num_edges"] == pytest.approx(mean, rel=0.5)


def test_the_quick_benchmark_of_units_on_graphs_compares_the_same_function(tmp_path, capsys):
    # It raises where a peer has another loss.
    neighbours.main(["--quick", "--out", str(tmp_path / "neighbours.json")])
    rows = json.loads((tmp_path / "neighbours.json").read_text())["cpu"]["rows"]
    assert [(row["num_hidden"], row["density"]) for row in rows] == list(neighbours.QUICK)
    assert all(set(row["milliseconds"]) == {"ours", "dense, coo", "dense, csr"} for row in rows)
    assert "times faster" in capsys.readouterr().out


def test_the_first_use_is_measured_of_programs_that_end_well(tmp_path, monkeypatch):
    out = str(tmp_path / "first_use.json")
    monkeypatch.setattr(first_use, "WAITS", {"a program": (("-c", "print()"), 1.5)})
    first_use.main(["--quick", "--out", out])
    assert "a program" in first_use.first_use(tmp_path / "first_use.json")
    monkeypatch.setattr(first_use, "WAITS", {"another": (("-c", "raise ValueError"), 1.5)})
    with pytest.raises(CalledProcessError):
        first_use.main(["--quick", "--out", out])
