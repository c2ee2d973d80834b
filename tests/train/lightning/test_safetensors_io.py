import math

import numpy
import pytest
import torch
from safetensors.torch import save_file

from pyg_modules import SynchronousGraph, UnitGraph, cut, split
from pyg_modules.train.lightning import LitModular, SafetensorsIO

CHECKPOINT = {
    "epoch": 3,
    "state_dict": {
        "weight": torch.arange(6.0).reshape(2, 3).T,
        "mask": torch.tensor([True, False]),
    },
    "optimizer_states": [
        {
            "state": {
                0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, dtype=torch.float64)}
            },
            "param_groups": [
                {"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "fused": None, "params": [0]}
            ],
        }
    ],
    "callbacks": {
        'A{"b": 1}': {"best": math.inf, "empty": {}, "none": (), "half": torch.ones(1).half()}
    },
}


def check_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            check_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            check_equal(*pair)
    else:
        assert found == expected


def test_a_checkpoint_comes_back_with_types_keys_and_bits(tmp_path):
    path = tmp_path / "new" / "1.ckpt"
    SafetensorsIO().save_checkpoint(CHECKPOINT, path)
    check_equal(SafetensorsIO().load_checkpoint(path), CHECKPOINT)
    assert [it.name for it in path.parent.iterdir()] == ["1.ckpt"]
    SafetensorsIO().remove_checkpoint(path)
    assert not path.exists()
    SafetensorsIO().remove_checkpoint(path)


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    tied = torch.ones(4)
    SafetensorsIO().save_checkpoint({"a": tied, "b": tied, "part": tied[:2]}, tmp_path / "1.ckpt")
    found = SafetensorsIO().load_checkpoint(tmp_path / "1.ckpt")
    check_equal(found, {"a": tied, "b": tied, "part": tied[:2]})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (numpy.zeros(2), "ndarray"),
        ({1, 2}, "set"),
        (torch.nn.ReLU(), "ReLU"),
        (torch.eye(2).to_sparse(), "Tensor"),
        ({(1, 2): 3}, "dict"),
    ],
)
def test_what_would_need_pickle_is_refused_and_leaves_the_checkpoint_before(tmp_path, value, name):
    path = tmp_path / "last.ckpt"
    SafetensorsIO().save_checkpoint(CHECKPOINT, path)
    match = rf"in a checkpoint \(got {name} in callbacks / Mine / 1\)\. Convert it"
    with pytest.raises(TypeError, match=match):
        SafetensorsIO().save_checkpoint({"callbacks": {"Mine": [0, value]}}, path)
    check_equal(SafetensorsIO().load_checkpoint(path), CHECKPOINT)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [4, 300, -8])
def test_a_truncated_checkpoint_is_refused(tmp_path, length):
    path = tmp_path / "1.ckpt"
    SafetensorsIO().save_checkpoint(CHECKPOINT, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"a complete checkpoint of SafetensorsIO in .*1\.ckpt"):
        SafetensorsIO().load_checkpoint(path)


def test_files_of_others_are_refused(tmp_path):
    torch.save(CHECKPOINT, tmp_path / "pickle.ckpt")
    with pytest.raises(ValueError, match=r"without this plugin is loaded without it"):
        SafetensorsIO().load_checkpoint(tmp_path / "pickle.ckpt")
    save_file({"weight": torch.ones(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"format_version 1 in .*other\.ckpt \(got None\)"):
        SafetensorsIO().load_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(FileNotFoundError, match=r"Expected a checkpoint \(got .*none\.ckpt"):
        SafetensorsIO().load_checkpoint(tmp_path / "none.ckpt")


def test_what_is_not_supported_is_refused(tmp_path):
    io, path = SafetensorsIO(), tmp_path / "1.ckpt"
    with pytest.raises(ValueError, match=r"path on this machine \(got s3://bucket/1\.ckpt\)"):
        io.save_checkpoint(CHECKPOINT, "s3://bucket/1.ckpt")
    with pytest.raises(TypeError, match=r"no storage_options \(got \{\}\)"):
        io.save_checkpoint(CHECKPOINT, path, storage_options={})
    with pytest.raises(TypeError, match=r"no map_location \(got 'cuda'\)"):
        io.load_checkpoint(path, map_location="cuda")
    assert not path.exists()


@pytest.mark.parametrize(
    "tree",
    [
        "[" * 100_000,
        "x",
        '{"tensor": 5}',
        '{"tensor": "nowhere"}',
        '{"dict": 1}',
        '{"dict": [1]}',
        '{"dict": [[[], 1]]}',
        '{"list": null}',
        "{}",
        '{"a": 1, "b": 2}',
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path, tree):
    path = tmp_path / "1.ckpt"
    save_file({"weight": torch.ones(1)}, path, {"format_version": "1", "checkpoint": tree})
    with pytest.raises(ValueError, match=r"a complete checkpoint of SafetensorsIO in .*1\.ckpt"):
        SafetensorsIO().load_checkpoint(path)


def test_a_header_without_a_description_is_refused(tmp_path):
    save_file({"weight": torch.ones(1)}, tmp_path / "1.ckpt", {"format_version": "1"})
    with pytest.raises(ValueError, match=r"a complete checkpoint of SafetensorsIO in .*1\.ckpt"):
        SafetensorsIO().load_checkpoint(tmp_path / "1.ckpt")


def test_the_labels_of_a_cut_layer_are_in_the_checkpoint(tmp_path):
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1))
    modular = cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, -1]))
    module, fresh = LitModular(modular), LitModular(SynchronousGraph(modular.graph))
    SafetensorsIO().save_checkpoint({"state_dict": module.state_dict()}, tmp_path / "cut.ckpt")
    fresh.load_state_dict(SafetensorsIO().load_checkpoint(tmp_path / "cut.ckpt")["state_dict"])
    assert torch.equal(fresh.model.labels, modular.labels)
    assert len(split(fresh.model)) == 2
