import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch_geometric.typing
from torch_geometric.sampler import NeighborSampler, SamplerOutput

FOLDER = Path(__file__).parents[1] / "examples"
HAS_SAMPLER = torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE


def run(name, capsys):
    """What ``main`` returns, after the script was imported without output and ran with some."""
    main = runpy.run_path(str(FOLDER / f"{name}.py"))["main"]
    assert capsys.readouterr().out == ""
    result = main()
    assert capsys.readouterr().out != ""
    return result


@pytest.mark.parametrize(
    ("name", "chance", "bound"),
    [
        ("gin_conv", 0.5, 0.9),
        ("pooled_head", 0.5, 0.9),
        ("images", 0.5, 0.9),
        ("sequential", 0.25, 0.85),
    ],
)
def test_models_with_the_layer_learn(name, chance, bound, capsys):
    assert chance < bound <= run(name, capsys) <= 1


def test_the_cut_layer_goes_back_into_the_model(capsys):
    before, after, paths = run("cut_update", capsys)
    assert before >= 0.6
    assert after >= before - 0.05
    assert paths == 0


# Warnings of torch about itself: the compiler imports deprecated parts, instantiates autograd
# functions and asks intermediate tensors for their gradients.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_the_compiled_model_is_the_same_function(capsys):
    torch._dynamo.reset()
    assert run("compiled", capsys) <= 1e-6


def test_units_on_a_graph_learn_and_are_cut_apart(capsys):
    accuracy, paths = run("units_on_graph", capsys)
    assert accuracy >= 0.75
    assert paths == 0


def test_to_hetero_applies_one_layer_to_every_type_of_node(capsys):
    assert run("hetero", capsys) == {"author": 0.0, "paper": 0.0}


@pytest.mark.skipif(not HAS_SAMPLER, reason="NeighborLoader needs pyg-lib")
# PyG says that sampling by torch-sparse, which is the other way, will be removed.
@pytest.mark.filterwarnings("ignore:Using 'NeighborSampler' without a 'pyg-lib':UserWarning")
def test_the_layer_learns_on_sampled_neighborhoods(capsys):
    assert run("neighbor_loader", capsys) >= 0.75


def test_the_layer_learns_on_neighborhoods_sampled_in_python(capsys, monkeypatch):
    def sample(self, seed, *_args, **_kwargs):
        nodes, rows, cols, edges = seed.tolist(), [], [], []
        places = {node: place for place, node in enumerate(nodes)}
        for col, node in enumerate(seed.tolist()):
            entering = torch.arange(self.colptr[node], self.colptr[node + 1])
            for edge in entering[torch.randperm(len(entering))[: self.num_neighbors.values[0]]]:
                neighbor = int(self.row[edge])
                if neighbor not in places:
                    places[neighbor] = len(nodes)
                    nodes.append(neighbor)
                rows.append(places[neighbor])
                cols.append(col)
                edges.append(int(edge))
        return SamplerOutput(*map(torch.tensor, (nodes, rows, cols, edges)))

    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", True)
    monkeypatch.setattr(NeighborSampler, "_sample", sample)
    assert run("neighbor_loader", capsys) >= 0.75


def test_what_to_install_is_said_without_a_sampler(monkeypatch):
    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", False)
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SPARSE", False)
    with pytest.raises(SystemExit, match="NeighborLoader needs pyg-lib, which is not installed"):
        runpy.run_path(str(FOLDER / "neighbor_loader.py"))["main"]()


# PyG imports a script that uses its Sequential once more, to find the names in its signatures.
@pytest.mark.parametrize("name", ["sequential", "hetero"])
def test_scripts_with_sequential_run_once_from_the_command_line(name):
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    path = {"PYTHONPATH": str(FOLDER.parent)}
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines
    assert len(set(lines)) == len(lines)


def test_every_example_is_tested_and_on_the_page():
    names = {path.stem for path in FOLDER.glob("*.py")}
    page = (FOLDER.parent / "docs" / "guides" / "pyg.md").read_text(encoding="utf-8")
    assert {name for name in names if f"(../../examples/{name}.py)" in page} == names
    tests = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in names if f'"{name}"' in tests} == names
