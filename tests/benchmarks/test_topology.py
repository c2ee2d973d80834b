import json

import torch

from benchmarks.accuracy import topology
from pyg_modules.datasets import Dataset
from tests.strategies import generator
from tests.writers import exit_of, in_child, kill


def test_a_search_of_topologies_that_is_killed_goes_on_and_measures_everything(
    tmp_path, monkeypatch, capsys
):
    x, y = torch.randn(50, 40, generator=generator(0)), torch.arange(50) % 10
    data = Dataset("mnist1d", x[:40], y[:40], x[40:], y[40:])
    monkeypatch.setattr(topology, "load_dataset", lambda _: data)
    train, trained = topology.train, []

    def recorded(epochs, layer, trial):
        trained.append((trial.study.study_name, trial.user_attrs["number"]))
        return train(epochs, layer, trial)

    monkeypatch.setattr(topology, "train", recorded)

    def run_and_be_killed():
        monkeypatch.setattr(topology, "train", lambda *of: kill() if trained else recorded(*of))
        topology.main(["--quick", "--out", str(tmp_path / "topology.json")])

    assert exit_of(in_child(run_and_be_killed)) == -9
    assert not (tmp_path / "topology.json").exists()
    topology.main(["--quick", "--out", str(tmp_path / "topology.json")])
    first, *others = (f"{name}, 1 epochs" for name in topology.SPACES)
    assert trained == [(first, 1), *((name, number) for name in others for number in (0, 1))]
    results = json.loads((tmp_path / "topology.json").read_text())
    for name, found in results["searches"].items():
        assert [trial["number"] for trial in found["trials"]] == [0, 1]
        runs = results["fresh"][name]
        assert [run["seed"] for run in runs] == [1_000_000, 1_000_001]
        assert all(14_000 < run["num_parameters"] <= topology.MAX_PARAMETERS for run in runs)
    kinds = [
        {trial["topology"]["generator"] for trial in results["searches"][name]["trials"]}
        for name in ("complete", "sparse_mlp", "mlp")
    ]
    assert kinds == [{"complete"}, {"layered"}, {"layered"}]
    assert {trial["topology"]["density"] for trial in found["trials"]} == {1.0}
    printed = capsys.readouterr().out
    assert "| MNIST-1D, searched among | best of 2 trials |" in printed
    again = ["--quick", "--out", str(tmp_path / "topology.json")]
    trained.clear()
    topology.main(again)
    assert not trained
