import json
import math
import os

import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file, save_file

from pyg_modules import (
    ModularGraph,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    split,
)
from tests.strategies import layers, normal


@given(layer=layers())
@settings(max_examples=20)
def test_a_loaded_layer_is_the_saved_one(tmp_path_factory, layer):
    tmp_path = tmp_path_factory.mktemp("saved")
    layer.save(tmp_path)
    loaded = SynchronousGraph.load(tmp_path)
    assert loaded.graph == layer.graph
    assert (loaded.solver, loaded.activation) == (layer.solver, layer.activation)
    x = normal(2, layer.graph.num_inputs)
    assert torch.equal(loaded(x), layer(x))
    assert loaded.labels is None


def test_a_cut_layer_can_be_split_after_loading(tmp_path):
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2), "tanh")
    modular = cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, -1]))
    modular.save(tmp_path)
    loaded = SynchronousGraph.load(tmp_path)
    assert torch.equal(loaded.labels, modular.labels)
    assert len(split(loaded)) == 2


def test_saving_replaces_files_and_leaves_others_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for hidden in (3, 4):
        SynchronousGraph(UnitGraph.complete(2, hidden, 1)).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.txt",
        "config.json",
        "model.safetensors",
    }
    assert SynchronousGraph.load(tmp_path).graph.num_hidden == 4


def test_a_new_folder_is_made(tmp_path):
    SynchronousGraph(UnitGraph.complete(2, 3, 1)).save(tmp_path / "a" / "b")
    assert SynchronousGraph.load(tmp_path / "a" / "b").graph.num_hidden == 3


def test_a_file_in_the_way_is_refused_and_kept(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    for folder in (path, path / "below"):
        with pytest.raises(ValueError, match=r"a folder \(got the file"):
            SynchronousGraph(UnitGraph.complete(2, 3, 1)).save(folder)
    assert path.read_text() == "mine"


@pytest.fixture
def saved(tmp_path):
    SynchronousGraph(UnitGraph.complete(2, 3, 1)).save(tmp_path)
    return tmp_path


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder, message):
    with pytest.raises(ValueError, match=message):
        SynchronousGraph.load(folder)


def test_missing_folders_and_files_are_named(saved):
    refused(saved / "other", r"folder of a saved model.*not there.*layer.save")
    refused(saved / "config.json", r"a file")
    (saved / "model.safetensors").unlink()
    refused(saved, r"complete file .*model.safetensors.*missing or truncated")
    (saved / "config.json").unlink()
    refused(saved, r"complete file .*config.json")


def test_truncated_files_are_named(saved):
    tensors = saved / "model.safetensors"
    content = tensors.read_bytes()
    for length in (0, 4, 100, len(content) - 1):
        tensors.write_bytes(content[:length])
        refused(saved, r"complete file .*model.safetensors")
    tensors.write_bytes(content)
    config = (saved / "config.json").read_text()
    (saved / "config.json").write_text(config[:20])
    refused(saved, r"complete file .*config.json")


def test_other_versions_are_named(saved):
    edit_config(saved, format_version=2)
    refused(saved, r"format_version 1 .*got 2.*save it again")
    (saved / "config.json").write_text("[]")
    refused(saved, r"format_version 1 .*got None")


def test_files_of_two_models_are_noticed(saved, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    SynchronousGraph(UnitGraph.complete(2, 4, 1)).save(other)
    (saved / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    refused(saved, r"of one model")


@pytest.mark.parametrize(
    "change",
    [{"num_edges": 3}, {"num_units": "6"}, {"solver": {"name": "magic"}}, {"activation": "step"}],
)
def test_damaged_configurations_are_refused(saved, change):
    edit_config(saved, **change)
    refused(saved, r"config.json and model.safetensors of one model")


@pytest.mark.parametrize("labels", [torch.zeros(5, dtype=torch.long), torch.zeros(6)])
def test_labels_that_do_not_fit_are_refused(tmp_path, labels):
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    layer.labels = labels
    layer.save(tmp_path)
    refused(tmp_path, r"of one model in .*labels of torch\..* and shape")


def test_a_part_knows_where_it_comes_from_after_loading(tmp_path):
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    labels = torch.full((13,), -1)
    labels[3:11] = torch.arange(8) % 2
    modular = cut(layer, labels)
    for number, part in enumerate(split(modular)):
        part.save(tmp_path / str(number))
    loaded = [SynchronousGraph.load(tmp_path / str(number)) for number in range(2)]
    assert [part.origin.module for part in loaded] == [0, 1]
    merged = merge(loaded)
    assert merged.graph == modular.graph
    assert torch.equal(merged.weight, modular.weight)
    assert torch.equal(merged.labels, labels)


@pytest.mark.parametrize("label", [-2, 6, 2**40])
def test_labels_out_of_range_are_refused(tmp_path, label):
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    layer.labels = torch.tensor([-1, -1, 0, 1, label, -1])
    layer.save(tmp_path)
    refused(tmp_path, r"of one model in .*labels")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_weights_that_nothing_computes_with_are_refused(saved, dtype):
    path = saved / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "weight": tensors["weight"].to(dtype)}, path)
    refused(saved, r"of one model in .*weights of torch")


@pytest.mark.parametrize("change", [{"solver": "unrolled"}, {"solver": [1]}, {"activation": []}])
def test_configurations_of_other_types_are_refused(saved, change):
    edit_config(saved, **change)
    refused(saved, r"config.json and model.safetensors of one model")


def test_a_configuration_nested_without_end_is_refused(saved):
    (saved / "config.json").write_text("[" * 100_000)
    refused(saved, r"complete file .*config.json")


@pytest.mark.parametrize("num_units", [10**15, 2**64, 10**400, math.nan, math.inf])
def test_sizes_that_the_tensors_do_not_have_are_refused_before_anything_is_made(saved, num_units):
    edit_config(saved, num_units=num_units)
    refused(saved, r"of one model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_no_file_is_refused(saved, name):
    path = saved / name
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        refused(saved, rf"complete file .*{name} \(got: .*it is no file")
        path.rmdir() if path.is_dir() else path.unlink()
    path.symlink_to(path)
    refused(saved, rf"complete file .*{name}")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"9" * 5000])
def test_what_is_no_content_is_refused(saved, name, content):
    (saved / name).write_bytes(content)
    refused(saved, rf"complete file .*{name}")


@pytest.mark.parametrize("shape", [[2**63, 0], [2**62, 0], [-1], [[]], "x"])
def test_shapes_that_no_tensor_has_are_refused(saved, shape):
    header = json.dumps({"weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}})
    content = len(header).to_bytes(8, "little") + header.encode()
    (saved / "model.safetensors").write_bytes(content)
    refused(saved, r"complete file .*model.safetensors|of one model")


def test_a_name_that_no_folder_can_have_is_refused():
    refused("x" * 5000, r"complete file")


def test_a_folder_whose_files_have_no_digest_is_that_of_an_earlier_version(saved):
    config = json.loads((saved / "config.json").read_text())
    del config["sha256"]
    (saved / "config.json").write_text(json.dumps(config))
    assert SynchronousGraph.load(saved).graph.num_hidden == 3


@pytest.mark.parametrize("cls", [SynchronousGraph, ModularGraph])
def test_a_device_that_is_not_there_is_named(cls, tmp_path):
    layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
    cut(layer, partition_units(layer, 2)).save(tmp_path)
    with pytest.raises(ValueError, match=r"an available device, such as 'cpu' \(got 'cuda:99'"):
        cls.load(tmp_path, device="cuda:99")
