import pytest
import torch
from torch import nn

from pyg_modules.train import Dataset, accuracy, fit, seeded


@pytest.fixture
def data():
    rand = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=rand)
    x = x[(x[:, 0] - x[:, 1]).abs() > 0.3][:100]
    y = (x[:, 0] > x[:, 1]).long()
    return Dataset("half-planes", x[:80], y[:80], x[80:], y[80:])


def linear(seed=0):
    with seeded(seed):
        return nn.Linear(2, 2)


def test_a_separable_task_is_learned_and_the_model_left_in_evaluation_mode(data):
    model = linear()
    fit(model, data, epochs=30, seed=0, learning_rate=0.1, batch_size=16)
    assert accuracy(model, data.test_x, data.test_y) == 1.0
    assert not model.training


def test_the_same_seed_gives_the_same_weights(data):
    models = [linear(), linear(), linear()]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        fit(model, data, epochs=2, seed=seed, batch_size=16)
    assert torch.equal(models[0].weight, models[1].weight)
    assert not torch.equal(models[0].weight, models[2].weight)


def test_terms_of_the_penalty_are_weighted_minimised_and_reported(data):
    model = linear()
    parameter = nn.Parameter(torch.tensor(1.0))
    progress, reports = [], []

    def penalty(done):
        progress.append(done)
        return {"square": (10.0, parameter.square())}

    fit(
        model,
        data,
        epochs=20,
        seed=0,
        batch_size=40,
        penalty=penalty,
        penalty_parameters=[parameter],
        on_epoch=lambda epoch, losses: reports.append((epoch, losses)),
    )
    assert progress == [step / 40 for step in range(40)]
    assert [epoch for epoch, _ in reports] == list(range(1, 21))
    assert all(losses.keys() == {"task", "square"} for _, losses in reports)
    # The first report is the mean over the two batches of the first epoch, without coefficient.
    assert 0.9 < reports[0][1]["square"] <= 1.0
    assert abs(parameter) < 0.5


def test_no_epochs_leave_the_model_as_it_is(data):
    model = linear()
    fit(model, data, epochs=0, seed=0)
    assert torch.equal(model.weight, linear().weight)


def test_accuracy_counts_the_largest_logits():
    model = nn.Identity()
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert accuracy(model, logits, torch.tensor([0, 1, 1, 1])) == 0.75


def test_seeded_leaves_the_global_generator_where_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1):
        assert torch.equal(torch.rand(3), inside)
