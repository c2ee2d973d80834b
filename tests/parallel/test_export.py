import importlib.util
import json

import numpy
import pytest
import torch
from torch.nn.utils import prune

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.ops import ACTIVATIONS
from pyg_modules.parallel import export_parts
from pyg_modules.train import ModularRegressor
from tests.strategies import generator, normal


def cut_layer(solver=None, density=1.0, dtype=torch.float32):
    graph = UnitGraph.erdos_renyi(3, 12, 2, density, generator=generator(0))
    layer = SynchronousGraph(graph, solver or Unrolled(4), "tanh", dtype=dtype)
    layer.reset_parameters(generator(0))
    labels = torch.full((graph.num_units,), -1)
    labels[3:-2] = torch.arange(12) % 2
    return cut(layer, labels)


@pytest.mark.filterwarnings("ignore:.* take no part")
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_the_outputs_of_onnx_files_add_up_in_another_runtime(tmp_path, density):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    modular = cut_layer(density=density)
    manifest = json.loads(export_parts(split(modular), tmp_path / "parts").read_text())
    assert (manifest["num_inputs"], manifest["num_outputs"]) == (3, 2)
    for batch in (1, 7):
        x = normal(batch, 3, seed=batch).float()
        outputs = numpy.zeros((batch, 2), dtype=manifest["dtype"])
        for name in manifest["parts"]:
            session = onnxruntime.InferenceSession(str(tmp_path / "parts" / name))
            outputs += session.run(["outputs"], {"x": x.numpy()})[0]
        assert numpy.abs(outputs - modular(x).detach().numpy()).max() <= 1e-5
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "manifest.json",
        "part_0.onnx",
        "part_1.onnx",
    ]


def layer_of(activation, dtype, density=1.0, solver=None, **dynamics):
    num_hidden = 12 if density == 1 else 60
    graph = UnitGraph.erdos_renyi(3, num_hidden, 2, density, repair=True, generator=generator(0))
    options = {"dtype": dtype, "generator": generator(1)}
    solver = solver or Unrolled(2 if density == 1 else 4)  # Every update takes long to write.
    return SynchronousGraph(graph, solver, activation, **options, **dynamics)


REFUSED = [(torch.float64, name) for name in ("elu", "gelu", "softplus")]
# Of which files with other edges are written as well.
SPARSE = [("tanh", torch.float64), ("gelu", torch.float32)]
TOLERANCES = {torch.float16: 5e-3, torch.float32: 1e-5, torch.float64: 1e-12}


@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
@pytest.mark.parametrize(
    "options",
    [{}, {"density": 0.04}, {"density": 0.04, "solver": Unrolled(4, checkpoint=True)}],
    ids=["dense", "sparse", "checkpoint"],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_opens_and_runs_what_is_written(tmp_path, activation, dtype, options):
    if options and (activation, dtype) not in SPARSE:
        pytest.skip("the edges make no other difference for it")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer = layer_of(activation, dtype, **options)
    if dtype == torch.bfloat16 or (dtype, activation) in REFUSED:
        name = f"activation '{activation}' in \\(got {dtype}"
        with pytest.raises(ValueError, match=name + r"\)\. Use part\.float\(\)"):
            export_parts([layer], tmp_path / "parts")
        assert not (tmp_path / "parts").exists()
        if dtype == torch.bfloat16:
            return
        layer = layer.float()
    export_parts([layer], tmp_path / "parts")
    session = onnxruntime.InferenceSession(str(tmp_path / "parts" / "part_0.onnx"))
    x = normal(7, 3).to(layer.weight)
    outputs = session.run(["outputs"], {"x": x.numpy()})[0]
    assert outputs.dtype == x.numpy().dtype
    assert numpy.abs(outputs - layer(x).detach().numpy()).max() <= TOLERANCES[layer.weight.dtype]


DYNAMICS = {
    "prelu": {},
    "dropout": {"dropout": 0.5},
    "update_rate": {"update_rate": 0.4},
    "all": {"dropout": 0.3, "update_rate": 0.4, "learn_update_rate": True},
}


# Each takes seconds to write; that of a sparse graph, more.
@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
@pytest.mark.parametrize(
    ("name", "dtype", "density"),
    [
        *((name, torch.float32, 1.0) for name in DYNAMICS),
        ("all", torch.float16, 1.0),
        ("all", torch.float64, 1.0),
        ("all", torch.float64, 0.04),
    ],
)
def test_what_units_do_between_updates_is_in_the_file(tmp_path, capfd, name, dtype, density):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    num_hidden = 12 if density == 1 else 60
    activations = ["prelu", "tanh"] if name in ("prelu", "all") else ["tanh", "tanh"]
    activation = activations * (num_hidden // 2)
    layer = layer_of(activation, dtype, density, **DYNAMICS[name])
    with torch.no_grad():
        for parameter in layer.dynamics.parameters():
            parameter.uniform_(0.1, 0.9, generator=generator(2))
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    export_parts([layer], tmp_path / "parts")
    assert capfd.readouterr() == ("", "")
    torch.testing.assert_close(dict(layer.state_dict()), before, rtol=0, atol=0)
    session = onnxruntime.InferenceSession(str(tmp_path / "parts" / "part_0.onnx"))
    x = (normal(7, 3) * (1 if density == 1 else 8)).to(dtype)
    (outputs,) = session.run(["outputs"], {"x": x.numpy()})
    expected = layer.eval()(x).detach().numpy()
    assert numpy.ptp(expected, axis=0).max() > 2e-4
    assert numpy.abs(outputs - expected).max() <= TOLERANCES[dtype]


@pytest.mark.parametrize(("dtype", "activation"), [*REFUSED, (torch.bfloat16, "relu")])
def test_the_other_format_takes_every_dtype(tmp_path, dtype, activation):
    layer = layer_of(activation, dtype)
    export_parts([layer], tmp_path, file_format="pt2")
    layer.backend = "dense"  # As in the file: others round in another order.
    x = normal(7, 3).to(layer.weight)
    outputs = torch.export.load(tmp_path / "part_0.pt2").module()(x)
    torch.testing.assert_close(outputs, layer(x))


def test_modules_of_an_estimator_are_exported_when_they_are_float32(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    x = normal(20, 3).numpy()
    settings = {"num_hidden": 4, "epochs": 1, "finetune_epochs": 0, "random_state": 0}
    model = ModularRegressor(2, activation="gelu", **settings).fit(x, x[:, 0])
    with pytest.raises(ValueError, match=r"activation 'gelu' in \(got torch.float64"):
        export_parts(model.modules_, tmp_path)
    export_parts(model.modules_.float(), tmp_path)
    paths = sorted(tmp_path.glob("*.onnx"))
    sessions = [onnxruntime.InferenceSession(str(path)) for path in paths]
    outputs = sum(session.run(None, {"x": x.astype("float32")})[0] for session in sessions)
    assert numpy.abs(outputs[:, 0] - model.predict(x)).max() <= 1e-5


def test_the_outputs_of_exported_programs_add_up(tmp_path):
    modular = cut_layer(dtype=torch.float64)
    parts = split(modular)
    backends = [part.backend for part in parts]
    manifest = json.loads(export_parts(parts, tmp_path, file_format="pt2").read_text())
    programs = [torch.export.load(tmp_path / name) for name in manifest["parts"]]
    for batch in (1, 7):
        x = normal(batch, 3, seed=batch)
        outputs = sum(program.module()(x) for program in programs)
        torch.testing.assert_close(outputs, modular(x), rtol=0, atol=1e-5)
    assert [part.backend for part in parts] == backends
    assert all(part.weight.requires_grad for part in parts)


def test_no_part_of_an_earlier_export_stays(tmp_path):
    layer = cut_layer()
    (tmp_path / "part_9.pt2").write_text("of somebody else")
    export_parts(split(layer), tmp_path, file_format="pt2")
    alone = cut(layer, torch.where(layer.labels < 0, -1, 0))
    manifest = export_parts(split(alone), tmp_path, file_format="pt2")
    expected = {"manifest.json", "part_0.pt2", "part_9.pt2"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    for other in ("no JSON", "[1]", '{"parts": [1]}', '{"parts": ["../keep.pt2"]}'):
        manifest.write_text(other)
        (tmp_path.parent / "keep.pt2").write_text("")
        export_parts(split(alone), tmp_path, file_format="pt2")
        assert {path.name for path in tmp_path.iterdir()} == expected
        assert (tmp_path.parent / "keep.pt2").exists()


def test_bad_input_is_refused_and_writes_nothing(tmp_path):
    folder = tmp_path / "parts"
    with pytest.raises(ValueError, match=r"one of 'onnx', 'pt2' \(got 'torchscript'\)"):
        export_parts(split(cut_layer()), folder, file_format="torchscript")
    with pytest.raises(ValueError, match=r"solver Unrolled \(got Equilibrium"):
        export_parts(split(cut_layer(Equilibrium())), folder)
    with pytest.raises(ValueError, match=r"at least one part \(got none\)"):
        export_parts([], folder)
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        export_parts([torch.nn.Linear(2, 2)], folder)
    pruned = split(cut_layer())
    prune.l1_unstructured(pruned[1], "weight", 2)
    with pytest.raises(ValueError, match=r"whose weight a hook computes .*prune.remove\(part"):
        export_parts(pruned, folder)
    assert not folder.exists()
    folder.write_text("a file")
    with pytest.raises(ValueError, match="Expected a folder"):
        export_parts(split(cut_layer()), folder, file_format="pt2")
    assert folder.read_text() == "a file"


def test_missing_packages_are_named(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    with pytest.raises(ImportError, match=r"needs onnxscript: pip install 'pyg-modules\[onnx\]'"):
        export_parts(split(cut_layer()), tmp_path)
