import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, strategies

from benchmarks.accuracy import cut_costs, images, recipes, times
from benchmarks.accuracy.extrapolation import __main__ as extrapolation
from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.sparsity import __main__ as sparsity
from benchmarks.accuracy.sparsity.rigl import MaskedLinear, RigL
from benchmarks.accuracy.sparsity.tasks import TASKS
from benchmarks.tables import ROOT
from pyg_modules.datasets import load_dataset


def test_make_measures_all_results_again():
    commands = (ROOT / "Makefile").read_text().split()
    paths = sorted(times.FOLDER.rglob("*.json"))
    assert len(paths) > 20
    for path in paths:
        module = path.with_name(path.stem.removesuffix("_search"))
        names = [".".join(one.relative_to(ROOT).parts) for one in (module, path.parent)]
        assert any(name in commands for name in names), path


def test_times_are_summed_wherever_they_stand(tmp_path):
    runs = [{"seconds": 90, "seed": 1}, {"seconds": 30.0}]
    (tmp_path / "one.json").write_text(json.dumps({"cells": [{"runs": runs, "trials": runs}]}))
    (tmp_path / "two.json").write_text(json.dumps({"seconds": {"a": 60}, "rows": [[runs]]}))
    (tmp_path / "none.json").write_text("[1, 2]")
    assert times.all_times(tmp_path).splitlines()[2:] == [
        "| `one.json` | 4 |",
        "| `two.json` | 2 |",
        "| all | **6**, 0.1 hours of two cores |",
    ]


def test_what_a_cut_buys_is_measured_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cut_costs, "load_dataset", lambda *_: load_dataset("digits"))
    for name, value in (("MODULES", (1, 2)), ("WIDTHS", (16, 32)), ("NUM_HIDDEN", 16)):
        monkeypatch.setattr(cut_costs, name, value)
    out = tmp_path / "cut_costs.json"
    cut_costs.main(["--quick", "--epochs", "2", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [cell["model"] for cell in cells] == ["uncut", "cut 2", "MLP 16", "MLP 32"]
    (uncut,), (halves,), (mlp,), _ = (cell["runs"] for cell in cells)
    # The second of two updates reads the edges among 16 hidden units.
    assert uncut["operations"] == 16 * (64 + 10) + 16**2
    assert uncut["num_parameters"] == 16 * (64 + 10) + 16**2 + 16 + 10
    assert halves["operations"] == uncut["operations"] - 2 * 8**2
    assert mlp["operations"] == 16 * (64 + 10)
    assert mlp["num_parameters"] == 16 * (64 + 10) + 16 + 10
    assert cut_costs._microjoules(1000, 100, 10) == pytest.approx(1e-6 * (4600 + 6400))
    printed = capsys.readouterr().out
    assert all(f"| {cell['model']} |" in printed for cell in cells)
    monkeypatch.setattr(recipes, "run_all", None)
    cut_costs.main(["--out", str(out)])
    assert json.loads(out.read_text())["cells"] == cells


def test_work_that_other_processes_do_not_import_is_refused_by_a_quick_run_too():
    with pytest.raises(ValueError, match="Move it to a file beside"):
        run_all(extrapolation.main, [()], quick=True)


def test_the_benchmark_of_few_edges_measures_every_way(tmp_path, monkeypatch, capsys):
    small = replace(TASKS["digits, a twentieth"], sizes=(64, 16, 10), num_edges=288)
    monkeypatch.setitem(TASKS, "digits, a twentieth", small)
    out = tmp_path / "sparsity.json"
    sparsity.main(["--only", "digits, a twentieth", "--quick", "--epochs", "3", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [cell["model"] for cell in cells] == list(small.ways)
    edges = {cell["model"]: cell["runs"][0]["num_edges"] for cell in cells}
    assert edges.pop("complete") == 1440
    assert edges.pop("sparse") == pytest.approx(288, abs=60)  # Every edge by chance.
    assert set(edges.values()) == {288}
    printed = capsys.readouterr().out
    assert all(f"| {way} |" in printed for way in small.ways)


def test_rigl_exchanges_weights_for_those_whose_gradient_is_largest():
    linear = MaskedLinear(6, 4, 8)
    x = torch.randn(5, 6)
    before, weight = linear.mask.clone(), linear.weight.detach().clone()
    assert int(before.sum()) == 8
    assert not weight[~before].any()
    linear(x).square().sum().backward()
    dense = weight.clone().requires_grad_()
    torch.nn.functional.linear(x, dense, linear.bias).square().sum().backward()
    linear.exchange(0.25)
    gone = weight.abs().masked_fill(~before, torch.inf).view(-1).topk(2, largest=False).indices
    stayed = before.view(-1).clone()
    stayed[gone] = False
    come = dense.grad.abs().view(-1).masked_fill(stayed, -1.0).topk(2).indices
    expected = stayed.clone()
    expected[come] = True
    assert torch.equal(linear.mask.view(-1), expected)
    assert torch.equal(linear.weight[linear.mask], (weight * stayed.view_as(weight))[linear.mask])


@given(strategies.lists(strategies.integers(2, 9), min_size=2, max_size=4), strategies.data())
def test_rigl_has_as_many_weights_as_asked_for(sizes, data):
    most = sum(a * b for a, b in pairwise(sizes))
    count = data.draw(strategies.integers(2 * (len(sizes) - 1), most))
    masks = list(RigL(sizes, count).buffers())
    assert sum(int(mask.sum()) for mask in masks) == count


def test_the_quick_benchmark_of_images_measures_every_network(tmp_path, capsys):
    out = tmp_path / "images.json"
    with pytest.raises(SystemExit, match="Use --search first"):
        images.main(["--quick", "--out", str(out)])
    images.main(["--quick", "--search", "--out", str(out)])
    assert [trial["row"] for trial in json.loads(out.read_text())["trials"]] == list(images.KINDS)
    images.main(["--quick", "--out", str(out)])
    runs = {one["row"]: one for one in json.loads(out.read_text())["runs"]}
    assert list(runs) == list(images.ROWS)
    for row in ("SynchronousConv2d", "CNN"):
        assert 5800 <= runs[row]["num_parameters"] <= 6500
    # 4 inputs, 20 hidden units, 8 outputs, 9 numbers and 16 pixels each, two updates; the head.
    kernels = 4 * 20 + 20 * 20 + 8 * 20
    assert runs["SynchronousConv2d"]["products"] == 9 * 16 * kernels + 32 * 10
    assert runs["cut at random"]["products"] == runs["cut into 4 modules"]["products"] < 60_000
    printed = capsys.readouterr().out
    assert all(f"| {row} |" in printed for row in images.ROWS)
