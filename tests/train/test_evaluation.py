from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules.train import accuracy
from pyg_modules.train.checked_loss import CheckedLoss
from pyg_modules.train.evaluation import evaluate
from pyg_modules.train.training_data import batches_of


def test_accuracy_counts_the_largest_logits():
    model = nn.Identity()
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert accuracy(model, logits, torch.tensor([0, 1, 1, 1])) == 0.75


def figures(model, x, y, loss):
    batches = batches_of((x, y), model, part="validation", forward=None, batch_size=3, seed=None)
    return evaluate(model, batches, CheckedLoss(loss))


def test_figures_are_means_over_the_samples_whatever_the_batches():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    x, y = torch.randn(10, 4), torch.arange(10) % 3
    result = figures(model, x, y, F.cross_entropy)
    assert not model.training
    assert result.keys() == {"loss", "accuracy"}
    assert result["accuracy"] == accuracy(model, x, y)
    assert result["loss"] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-6)


def test_targets_that_are_no_classes_have_no_accuracy():
    model, x = nn.Linear(4, 3), torch.randn(10, 4)
    assert figures(model, x, torch.zeros(10, 3), F.mse_loss).keys() == {"loss"}
    classes_of_pixels = torch.zeros(10, 3, dtype=torch.long)
    assert figures(model, x, classes_of_pixels, F.l1_loss).keys() == {"loss"}


def test_the_largest_of_a_single_output_is_no_accuracy():
    def loss(logits, targets):
        return F.binary_cross_entropy_with_logits(logits.squeeze(-1), targets.float())

    x, y = torch.randn(10, 4), torch.arange(10) % 2
    assert figures(nn.Linear(4, 1), x, y, loss).keys() == {"loss"}


IGNORING = [
    (F.cross_entropy, -100),
    (nn.CrossEntropyLoss(ignore_index=-1), -1),
    (partial(F.cross_entropy, ignore_index=7), 7),
    (lambda outputs, targets: F.cross_entropy(outputs, targets, ignore_index=1), 1),
]


@pytest.mark.parametrize(("loss", "ignored"), IGNORING)
def test_targets_that_the_loss_ignores_do_not_count(loss, ignored):
    model, x, y = nn.Linear(4, 3), torch.randn(10, 4), torch.arange(10) % 3
    y[:4] = ignored  # The first batch and one of the second.
    result = figures(model, x, y, loss)
    counted = y != ignored
    assert result["accuracy"] == pytest.approx(accuracy(model, x[counted], y[counted]))
    expected = F.cross_entropy(model(x[counted]), y[counted])
    assert result["loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_a_validation_in_which_nothing_counts_is_refused():
    with pytest.raises(ValueError, match="at least one validation sample"):
        figures(nn.Linear(4, 3), torch.zeros(5, 4), torch.full((5,), -100), F.cross_entropy)


@pytest.mark.parametrize(
    ("num_features", "forward", "expected"),
    [
        (4, None, [10]),
        # Some 65,000 numbers at once, but a batch as it is.
        (10_000, None, [6, 4]),
        (100_000, None, [3, 3, 3, 1]),
        (4, lambda model, batch: (model(batch[0]), batch[1]), [3, 3, 3, 1]),
    ],
)
def test_rows_of_few_numbers_are_measured_together(num_features, forward, expected):
    model, seen = nn.Linear(num_features, 3), []
    model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    data = torch.randn(10, num_features), torch.arange(10) % 3
    batches = batches_of(data, model, part="validation", forward=forward, batch_size=3, seed=None)
    evaluate(model, batches, CheckedLoss(F.cross_entropy))
    assert seen == expected
