import json

import torch

from benchmarks.accuracy.alternating import __main__ as alternating
from benchmarks.accuracy.alternating.training import FIXED, MODELS, PROBLEMS


def test_the_benchmark_of_alternating_goals_measures_every_change(tmp_path, capsys):
    out, (only,) = tmp_path / "alternating.json", ["retina, 128 samples"]
    alternating.main(["--quick", "--steps", "20", "--only", only, "--out", str(out)])
    cells = {cell["model"]: cell["runs"][0] for cell in json.loads(out.read_text())["cells"]}
    assert list(cells) == list(MODELS)
    sizes = [run["num_parameters"] for run in cells.values()]
    assert max(sizes) < 1.1 * min(sizes)
    assert cells["true"]["ari"] == cells["true"]["ari_first"] == 1
    # They begin as the same network, and part when the goal changes.
    assert cells["whole"]["first"] == cells[FIXED]["first"]
    assert cells["whole"]["soon"] != cells[FIXED]["soon"]
    assert f"| {only} | one network, the goal stays |" in capsys.readouterr().out


def test_goals_differ_where_one_side_has_an_object():
    for make_both, make_any in PROBLEMS.values():
        both, any_side = make_both(3), make_any(3)
        for part in ("train", "test"):
            x, y_both = getattr(both, f"{part}_x"), getattr(both, f"{part}_y")
            y_any = getattr(any_side, f"{part}_y")
            assert torch.equal(x, getattr(any_side, f"{part}_x"))
            assert bool((y_both <= y_any).all())
            assert not torch.equal(y_both, y_any)


def test_networks_whose_goal_stays_are_compared_by_the_same_recipes(tmp_path):
    recipe_aris = {
        "whole": [0.0, 0.5, 1.0, 1.0, 1.0, 1.0],
        FIXED: [0.0, 0.0, 0.0, 0.25, 0.25, 0.25],
    }
    cells = [
        {
            "task": "retina, 128 samples",
            "model": name,
            "trials": [{"ari": ari, "ari_first": 0.125} for ari in aris],
        }
        for name, aris in recipe_aris.items()
    ]
    path = tmp_path / "alternating.json"
    path.write_text(json.dumps({"cells": cells}))
    rows = alternating.agreements(path).splitlines()[2:]
    assert rows == [
        "| retina, 128 samples | 0.03 | 0.003 | 0.12 | 0.50 | 0.00 |",
        "| retina, 128 samples | 0.03 | 0.01 | 0.12 | 1.00 | 0.25 |",
    ]
