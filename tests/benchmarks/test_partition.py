import json

import pytest

from benchmarks.accuracy.partition import __main__ as partition


def test_the_quick_partition_benchmark_measures_everything(tmp_path):
    pytest.importorskip("pymetis")
    partition.main(["--quick", "--out", str(tmp_path / "partition.json")])
    results = json.loads((tmp_path / "partition.json").read_text())
    for name in ("planted_4", "planted_8", "planted_unequal"):
        result = results[name]
        assert sum(result["runs"][0]["module_sizes"]) > result["setting"]["num_hidden"]
    assert [run["config"]["num_modules"] for run in results["networks"]] == [4, 8]
    assert [row["kind"] for row in results["post_hoc"]] == ["network", "planted graph"]
    methods = {"scikit-learn spectral", "METIS", "PyG MinCut", "ours"}
    assert all(set(row["normalized_cut"]) == methods for row in results["post_hoc"])
    assert results["scale"]["million"]["num_edges"] == 10_000
