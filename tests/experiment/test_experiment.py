from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from pyg_modules import cut, split
from pyg_modules.datasets import Dataset, load_dataset
from pyg_modules.experiment import MODELS, ExperimentConfig, run_experiment, score_table
from pyg_modules.experiment.experiment import check_units
from pyg_modules.modules import check_independence, input_attribution
from pyg_modules.partition import normalized_cut
from pyg_modules.train import accuracy

CONFIG = ExperimentConfig(
    num_modules=2,
    num_hidden=12,
    steps=3,
    epochs=40,
    finetune_epochs=2,
    learning_rate=1e-2,
    batch_size=16,
    random_cut=True,
)


@pytest.fixture(scope="module")
def data():
    whole = load_dataset("digits")
    return Dataset(
        "digits", whole.train_x[:300], whole.train_y[:300], whole.test_x[:100], whole.test_y[:100]
    )


@pytest.fixture(scope="module")
def result(data):
    return run_experiment(data, CONFIG)


def test_figures_are_those_of_the_returned_layers(result, data):
    for name in ("free", "regularized", "finetuned"):
        layer = getattr(result, name)
        assert result.test_score[name] == accuracy(layer, data.test_x, data.test_y)
        assert result.num_parameters[name] == layer.weight.numel() + layer.bias.numel()
    regularized = result.regularized
    assert result.test_score["cut"] == accuracy(
        cut(regularized, result.labels), data.test_x, data.test_y
    )
    assert result.normalized_cut == {
        "free": normalized_cut(
            result.free.graph.edge_index, result.free.weight, result.free_labels
        ),
        "regularized": normalized_cut(
            regularized.graph.edge_index, regularized.weight, result.labels
        ),
        "cut": 0.0,
    }
    assert result.module_sizes == [6, 6]
    assert torch.equal(result.verdict.labels, result.labels)
    with torch.no_grad():
        loss = F.cross_entropy(regularized(data.train_x), data.train_y).item()
    # Of the samples of a probe.
    assert result.verdict.uncut == pytest.approx(loss, rel=0.5)
    assert result.metrics()["verdict"] == result.verdict.figures()
    assert result.test_score.keys() == result.num_parameters.keys() == MODELS.keys()


def test_regularization_lowers_the_normalized_cut(result):
    assert result.normalized_cut["regularized"] < 0.5 * result.normalized_cut["free"]


def test_the_finetuned_layer_is_independent(result, data):
    assert result.independence == check_independence(
        result.finetuned, data.test_x[:4], steps=CONFIG.steps
    )


def test_cut_and_random_modules_are_of_equal_size(result):
    assert result.num_parameters["cut"] == result.num_parameters["random_modules"]
    assert abs(result.num_parameters["mlp"] / result.num_parameters["free"] - 1) < 0.05


def test_the_same_seed_gives_the_same_figures(result, data):
    torch.manual_seed(1234)
    metrics, again = result.metrics(), run_experiment(data, CONFIG).metrics()
    del metrics["seconds"], again["seconds"]
    assert metrics == again


def test_metrics_have_the_documented_keys(result):
    metrics = result.metrics()
    assert metrics.keys() >= {"cut_fraction", "module_sizes", "seed", "versions", "seconds"}
    assert metrics["test_score"].keys() == MODELS.keys()
    assert metrics["normalized_cut"].keys() == {"free", "regularized", "cut"}
    assert metrics["independence"].keys() == {
        "max_cross_jacobian",
        "max_split_difference",
        "paths",
    }
    assert metrics["versions"].keys() >= {"python", "torch", "torch-geometric", "pyg-modules"}


def test_every_training_has_a_history_of_its_phases(result):
    phases = {
        name: [record.phase for record in history] for name, history in result.histories.items()
    }
    assert phases == {
        "mlp": ["free"] * 42,
        "free": ["free"] * 42,
        "regularized": ["free"] * 12 + ["ramp"] * 4 + ["full"] * 24,
        "finetuned": ["cut"] * 2,
        "random_cut": ["cut"] * 2,
        "random_modules": ["cut"] * 42,
    }
    assert result.histories["regularized"][-1].losses.keys() == {"task", "ncut", "balance"}


def test_lesions_and_attribution_are_those_of_the_finetuned_layer(result, data):
    parts = split(result.finetuned)
    lesions = result.lesions
    shares = lesions.num_samples / lesions.num_samples.sum()
    whole = float((lesions.all * shares).nansum())
    assert whole == pytest.approx(result.test_score["finetuned"])
    assert lesions.num_samples.sum() == 100
    torch.testing.assert_close(result.attribution, input_attribution(parts, data.test_x))
    assert torch.equal(result.samples, data.test_x[:64])


@pytest.mark.parametrize("scope", ["inputs", "all"])
def test_the_scope_says_what_modules_own_in_all_networks_of_a_run(scope, data):
    config = replace(CONFIG, scope=scope, epochs=2, finetune_epochs=1)
    result = run_experiment(data, config)
    graph = result.finetuned.graph
    for labels in (result.labels, result.free_labels, result.finetuned.labels):
        assert (labels[: graph.hidden.stop] >= 0).all()
        assert (labels[graph.hidden.stop :] >= 0).all() == (scope == "all")
    assert sum(result.module_sizes) == 64 + 12 + (10 if scope == "all" else 0)
    # Of its own inputs alone.
    owner = result.labels[:64]
    assert (result.attribution[0][owner == 1] == 0).all()
    assert (result.attribution[1][owner == 0] == 0).all()
    assert (result.verdict.separated is not None) == (scope == "inputs")


def test_data_with_too_few_outputs_for_a_scope_is_refused_before_the_training(data):
    config = replace(CONFIG, scope="all", num_modules=11)
    with pytest.raises(ValueError, match=r"num_modules from 2 to 10: .*Use fewer modules, or"):
        run_experiment(data, config, progress=object())  # Which could show no training.
    with pytest.raises(ValueError, match=r"got 11 modules, 64 inputs and 10 outputs"):
        check_units(data, config)


@pytest.mark.parametrize("device", ["quantum", "meta"])
def test_a_device_that_cannot_compute_is_refused(data, device):
    with pytest.raises(ValueError, match=rf"available device.*got '{device}'"):
        run_experiment(data, replace(CONFIG, device=device))


def test_the_table_has_a_line_per_model(result):
    lines = score_table(result).splitlines()
    assert len(lines) == 1 + len(MODELS)
    for line, (name, meaning) in zip(lines[1:], MODELS.items(), strict=True):
        assert line.startswith(meaning)
        assert f"{result.test_score[name]:.2%}" in line
        assert f"{result.num_parameters[name]:,}" in line


def test_violated_independence_stops_the_run(data, monkeypatch):
    monkeypatch.setattr("pyg_modules.modules.independence._count_paths", lambda _layer: 1)
    with pytest.raises(RuntimeError, match="no path between modules"):
        run_experiment(data, CONFIG)
