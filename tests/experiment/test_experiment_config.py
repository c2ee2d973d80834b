import math

import pytest

from pyg_modules.experiment import ExperimentConfig


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_modules": 1}, ValueError, r"num_modules >= 2 \(got 1\)"),
        (
            {"num_modules": 9, "num_hidden": 8},
            ValueError,
            r"num_modules <= num_hidden.*got 9 > 8.*raise num_hidden",
        ),
        ({"num_modules": "many"}, ValueError, r"an int or 'auto' \(got 'many'\)"),
        ({"scope": "outputs"}, ValueError, r"'hidden', 'inputs', 'all' \(got 'outputs'\)"),
        ({"steps": 0}, ValueError, r"steps >= 1 \(got 0\)"),
        ({"epochs": 0}, ValueError, r"epochs >= 1"),
        ({"finetune_epochs": -1}, ValueError, r"finetune_epochs >= 0"),
        ({"learning_rate": 0}, ValueError, r"learning_rate > 0 \(got 0\)"),
        (
            {"learning_rate": math.nan},
            ValueError,
            r"learning_rate > 0 \(got nan\)\. Give a positive number, e\.g\.",
        ),
        ({"seed": 2**63}, ValueError, r"seed <= 9223372036854775807 \(got 9223372036854775808\)"),
        ({"seed": -1}, ValueError, r"seed >= 0"),
        ({"num_hidden": 8.0}, TypeError, r"num_hidden to be an int \(got float: 8.0\)"),
        ({"ncut": float("nan")}, ValueError, r"finite ncut >= 0 \(got nan\)"),
        ({"tolerance": -0.1}, ValueError, r"tolerance in \[0, 1\] \(got -0.1\)"),
        ({"batch_size": 0}, ValueError, r"batch_size >= 1 \(got 0\)"),
        ({"activation": "cube"}, ValueError, r"got 'cube'"),
        ({"balance": -1.0}, ValueError, r"finite balance >= 0 \(got -1.0\)"),
        ({"widths": 3}, TypeError, r"unexpected keyword argument 'widths'"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        ExperimentConfig(**settings)


@pytest.mark.parametrize(("has_cuda", "device"), [(False, "cpu"), (True, "cuda")])
def test_auto_is_cuda_where_there_is_one(has_cuda, device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    assert ExperimentConfig().device == device
    assert ExperimentConfig(device="cpu").device == "cpu"
