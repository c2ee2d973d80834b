import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import fields, replace

import pytest
import torch

from pyg_modules.datasets import Dataset, load_dataset, load_encoding
from pyg_modules.datasets.encoding import Encoding, NumberColumn, Target
from pyg_modules.experiment import ExperimentConfig, load_run, run_experiment, write_run
from pyg_modules.modules import LesionStudy


@pytest.fixture(scope="module")
def result():
    whole = load_dataset("digits")
    parts = (whole.train_x[:200], whole.train_y[:200], whole.test_x[:100], whole.test_y[:100])
    config = ExperimentConfig(num_modules=2, num_hidden=8, steps=2, epochs=8, finetune_epochs=1)
    return run_experiment(Dataset("digits", *parts, image_shape=(8, 8)), config)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The folder of another run, of as many files."""
    folder = tmp_path_factory.mktemp("other")
    data = load_dataset("mnist1d")
    parts = (data.train_x[:100], data.train_y[:100], data.test_x[:50], data.test_y[:50])
    config = ExperimentConfig(num_modules=3, num_hidden=9, steps=2, epochs=4, finetune_epochs=2)
    write_run(run_experiment(Dataset("mnist1d", *parts), config), folder)
    return folder


@pytest.fixture
def folder(result, tmp_path):
    write_run(result, tmp_path)
    return tmp_path


def test_a_run_comes_back_as_it_was(result, folder):
    loaded = load_run(folder)
    assert loaded.metrics() == result.metrics()
    assert loaded.config == result.config
    assert loaded.independence == result.independence
    assert loaded.image_shape == (8, 8)
    assert loaded.histories == result.histories
    x = torch.rand(5, 64)
    for name in ("free", "regularized", "finetuned"):
        assert torch.equal(getattr(loaded, name)(x), getattr(result, name)(x))
    for name in ("labels", "free_labels", "attribution", "samples"):
        assert torch.equal(getattr(loaded, name), getattr(result, name))
    for field in fields(LesionStudy):
        pair = getattr(loaded.lesions, field.name), getattr(result.lesions, field.name)
        torch.testing.assert_close(*pair, rtol=0, atol=0, equal_nan=True)


def test_a_run_of_a_device_that_is_not_here_is_loaded_onto_the_cpu(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["config"]["device"] = "cuda:7"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    loaded = load_run(folder)
    assert loaded.config.device == "cuda:7"
    assert loaded.finetuned.weight.device.type == "cpu"


def test_a_run_of_a_version_without_scopes_is_one_of_hidden_units(result, folder):
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["config"]["scope"]
    path.write_text(json.dumps(metrics))
    assert load_run(folder).config == result.config


def encoding_of(median):
    return Encoding([NumberColumn("a", median, 0.0, 1.0)], [], Target("y", ["0", "1"]), {}, [])


ENCODINGS = ["data.json", "free/data.json", "regularized/data.json"]


def test_a_run_without_a_file_of_data_leaves_nothing_of_the_one_before(result, tmp_path):
    write_run(replace(result, encoding=encoding_of(0.0)), tmp_path)
    assert load_run(tmp_path).encoding == encoding_of(0.0)
    for name in ("report.html", "new.predictions.csv", "free/new.predictions.csv"):
        (tmp_path / name).write_text("of the run before")
    write_run(result, tmp_path)
    assert load_run(tmp_path).encoding is None
    assert not any((tmp_path / name).exists() for name in (*ENCODINGS, "report.html"))
    assert (tmp_path / "free/new.predictions.csv").exists()
    assert (tmp_path / "new.predictions.csv").exists()


@pytest.mark.parametrize("metrics", [None, "{}", "[]", '{"sha256": "a"}', '{"accuracy": 1}'])
def test_files_that_are_of_no_run_are_left_beside_one(metrics, result, tmp_path):
    names = [*ENCODINGS, "report.html"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    if metrics is not None:
        (tmp_path / "metrics.json").write_text(metrics)
    write_run(result, tmp_path)
    assert {(tmp_path / name).read_text() for name in names} == {"mine"}


@pytest.mark.parametrize("place", ["", "free", "regularized"])
@pytest.mark.parametrize("has_one", [True, False])
def test_an_encoding_of_another_run_is_refused(has_one, place, result, tmp_path):
    write_run(replace(result, encoding=encoding_of(0.0) if has_one else None), tmp_path)
    if has_one:
        assert load_encoding(tmp_path / place) == encoding_of(0.0)
    encoding_of(1.0).save(tmp_path / place)
    with pytest.raises(ValueError, match=r"data\.json of the run in .*of another.*train again; of"):
        load_encoding(tmp_path / place)


def test_an_encoding_of_something_else_inside_of_a_run_is_loaded(folder):
    (folder / "parts").mkdir()
    encoding_of(1.0).save(folder / "parts")
    assert load_encoding(folder / "parts") == encoding_of(1.0)


def test_another_folder_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"folder of a run .* without metrics.json.*make one"):
            load_run(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{}"),
        ("metrics.json", "no JSON"),
        ("history.json", '{"mlp": [{"loss": 1}]}'),
        ("history.json", "[]"),
        ("history.json", "{}"),
        ("labels.json", None),
        ("labels.json", "null"),
        ("labels.json", "[]"),
        ("free/labels.json", "{}"),
        ("free/labels.json", "[1]"),
        ("analysis.safetensors", "no tensors"),
        ("free/model.safetensors", None),
    ],
)
def test_a_damaged_run_is_refused(folder, name, content):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(ValueError, match=r"all files of one run of this version.*Copy them again"):
        load_run(folder)


@pytest.mark.parametrize(
    "name",
    [
        "metrics.json",
        "history.json",
        "analysis.safetensors",
        "labels.json",
        "free/labels.json",
        "free",
        "regularized",
    ],
)
def test_a_file_of_another_run_is_named(folder, other, name):
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(other / name, path)
    else:
        shutil.copy(other / name, path)
    expected = {"metrics.json": "config.json", "free": "free/config.json"}.get(name, name)
    with pytest.raises(ValueError, match=rf"got .*{re.escape(expected)}.* of another run"):
        load_run(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": 1},
        {"dataset": "\ud800"},
        {"test_score": [1]},
        {"test_score": {"mlp": 1}},
        {"num_parameters": None},
        {"normalized_cut": {"free": "0", "regularized": 0, "cut": 0}},
        {"cut_fraction": {}},
        {"independence": {"paths": 0, "max_cross_jacobian": None, "max_split_difference": 0}},
        {"image_shape": 64},
        {"image_shape": [3, 5]},
        {"image_shape": ["8", "8"]},
        {"module_sizes": 8},
        {"versions": 3},
        {"seconds": 10**400},
        {"config": []},
        {"config": {"epochs": math.nan}},
        {"sha256": []},
        {"sha256": {}},
    ],
)
def test_figures_of_other_types_are_refused(folder, change):
    path = folder / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"all files of one run of this version"):
        load_run(folder)


@pytest.mark.parametrize(("key", "value"), [("num_hidden", 9), ("epochs", 40), ("num_modules", 3)])
def test_settings_that_are_not_those_of_the_files_are_refused(folder, key, value):
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    assert metrics["config"][key] != value
    metrics["config"][key] = value
    path.write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"of another run than metrics.json"):
        load_run(folder)


@pytest.mark.parametrize(
    "history", [{"mlp": 1}, {"mlp": [1]}, {"mlp": [{"phase": 1, "losses": {}}]}]
)
def test_a_history_of_other_types_is_refused(folder, history):
    path = folder / "history.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **history}))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["sha256"]["history.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"all files of one run of this version"):
        load_run(folder)


@pytest.mark.parametrize("name", ["metrics.json", "labels.json", "analysis.safetensors", "free"])
def test_what_is_no_file_of_a_run_is_refused(folder, name):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        with pytest.raises(ValueError, match=r"all files of one run of this version"):
            load_run(folder)
        path.rmdir() if path.is_dir() else path.unlink()
    for content in (b"", b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"all files of one run of this version"):
            load_run(folder)
