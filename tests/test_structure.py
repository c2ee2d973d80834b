import inspect
import json
import sys

import pytest
import torch

from benchmarks import structure
from pyg_modules import SynchronousGraph, UnitGraph


def test_the_figures_are_those_of_the_checkout(tmp_path, capsys):
    structure.main(["--out", str(tmp_path / "structure.json")])
    results = json.loads((tmp_path / "structure.json").read_text())
    assert json.loads(capsys.readouterr().out) == results
    package = structure.ROOT / "pyg_modules"
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert results["lines"] == sum(len(text.splitlines()) for text in texts)
    assert results["files_in_room"]["solve"] == len(list((package / "solve").glob("*.py")))
    assert set(results["frames_to_the_kernel"]) == {"dense", "sparse", "numba"}


def test_imports_that_do_not_lead_down_climb():
    ops, solve = "pyg_modules.ops.dense", "pyg_modules.solve.unrolled"
    nn, partition = "pyg_modules.nn.mlp", "pyg_modules.partition.labels"
    down = [(solve, ops), (nn, ops), (partition, solve), (nn, "pyg_modules.nn.origin")]
    climbing = [(nn, partition), (ops, solve), (partition, nn)]
    found = structure.climbing_imports([*climbing, *down, ("pyg_modules", nn)])
    assert found == [f"{importing} -> {imported}" for importing, imported in climbing]


def test_circles_are_sets_of_files_that_import_each_other():
    imports = ["ab", "bc", "ca", "cd", "de", "ed", "df"]
    assert structure.circles([tuple(pair) for pair in imports]) == [["a", "b", "c"], ["d", "e"]]


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("backend", ["dense", "sparse"])
def test_frames_are_those_that_the_interpreter_reports(backend, gradients):
    layer = SynchronousGraph(UnitGraph.complete(8, 32, 4), activation="tanh", backend=backend)
    depths = []

    def profile(frame, event, function):
        if event == "c_call" and function.__name__ in ("mm", "addmm"):
            stack = inspect.getouterframes(frame, context=0)
            names = [info.function for info in stack]
            depths.append(names.index("test_frames_are_those_that_the_interpreter_reports"))

    with torch.set_grad_enabled(gradients):
        before = sys.getprofile()
        sys.setprofile(profile)
        layer(torch.zeros(16, 8))
        sys.setprofile(before)
    assert structure.frames_to_the_kernel(backend, gradients=gradients) == max(depths)
