from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.train import fit, seeded
from pyg_modules.train.early_stopping import EarlyStopping


def epochs_until_over(losses, patience):
    stopping = EarlyStopping(patience, restore_best_weights=False)
    for number, loss in enumerate(losses, start=1):
        if stopping.is_over(loss, nn.Identity()):
            return number
    return None


# Of the same losses, the numbers of epochs after which Keras and Lightning end.
@pytest.mark.parametrize(
    ("patience", "last"), [(0, 3), (1, 3), (2, 6), (3, 7), (4, None), (None, None)]
)
def test_it_is_over_after_as_many_epochs_without_a_better_one(patience, last):
    assert epochs_until_over([3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 1.1], patience) == last


def noisy():
    """Few samples of a task with noise, which are learned by heart."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    y = (x[:, 0] + torch.randn(60, generator=generator) > 0).long()
    return (x[:20], y[:20]), (x[20:], y[20:])


def model():
    with seeded(0):
        return nn.Sequential(nn.Linear(4, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 2))


SETTINGS = {"epochs": 30, "seed": 0, "learning_rate": 0.003, "one_cycle": False, "batch_size": 10}


def states_of_epochs(network):
    """A list, and what adds the state of the network to it after every epoch."""
    states = []
    return states, lambda _epoch, _losses: states.append(deepcopy(network.state_dict()))


def test_the_validation_loss_is_that_of_all_samples_in_evaluation_mode():
    data, (x, y) = noisy()
    network = model()
    losses = []

    def on_epoch(_epoch, means):
        with torch.no_grad():
            loss = F.cross_entropy(deepcopy(network).eval()(x), y)
        losses.append((means["validation"], float(loss)))

    # Batches of 32 and 8.
    settings = SETTINGS | {"epochs": 3, "batch_size": 32}
    history = fit(network, data, validation_data=(x, y), on_epoch=on_epoch, **settings)
    assert [record.losses["validation"] for record in history] == [own for own, _ in losses]
    for own, expected in losses:
        assert own == pytest.approx(expected, rel=1e-6)


def test_validation_changes_no_weight():
    data, validation = noisy()
    alone, validated = model(), model()
    torch.manual_seed(0)
    without = fit(alone, data, **SETTINGS)
    history = fit(validated, data, validation_data=validation, **SETTINGS)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, validated.state_dict()[name])
    assert [record.losses["task"] for record in history] == [
        record.losses["task"] for record in without
    ]


def test_patience_ends_the_training_and_the_history():
    data, validation = noisy()
    network = model()
    states, on_epoch = states_of_epochs(network)
    options = {"validation_data": validation, "patience": 3, "on_epoch": on_epoch}
    history = fit(network, data, **SETTINGS, **options)
    losses = [record.losses["validation"] for record in history]
    best = losses.index(min(losses))
    assert len(history) == best + 1 + 3 < 30
    assert len(states) == len(history)
    # The weights are those of the last epoch, and the mode is that for use.
    for name, value in network.state_dict().items():
        assert torch.equal(value, states[-1][name])
    assert not network.training


@pytest.mark.parametrize("patience", [2, None])
def test_the_best_weights_are_those_of_the_epoch_with_the_lowest_validation_loss(patience):
    data, validation = noisy()
    network = model()
    states, on_epoch = states_of_epochs(network)
    options = {"validation_data": validation, "patience": patience, "on_epoch": on_epoch}
    history = fit(network, data, restore_best_weights=True, **SETTINGS, **options)
    losses = [record.losses["validation"] for record in history]
    best = losses.index(min(losses))
    assert 0 < best < len(losses) - 1
    # All of them, the means of BatchNorm too.
    for name, value in network.state_dict().items():
        assert torch.equal(value, states[best][name])


@pytest.mark.parametrize("options", [{"patience": 2}, {"restore_best_weights": True}])
def test_what_goes_by_the_validation_loss_needs_validation_data(options):
    with pytest.raises(ValueError, match=r"Expected validation_data.*\(got none\)"):
        fit(model(), noisy()[0], **SETTINGS, **options)


@pytest.mark.parametrize("options", [{"patience": 2}, {"restore_best_weights": True}])
def test_a_schedule_is_not_ended_early(options):
    data, validation = noisy()
    layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
    schedule = PartitionSchedule(PartitionRegularizer(layer, 2), 30)
    with pytest.raises(ValueError, match=r"no schedule with patience.*Cut when it is over"):
        fit(layer, data, validation_data=validation, schedule=schedule, **SETTINGS, **options)


@pytest.mark.parametrize(("patience", "error"), [(-1, ValueError), (1.5, TypeError)])
def test_patience_is_a_number_of_epochs(patience, error):
    data, validation = noisy()
    with pytest.raises(error, match="patience"):
        fit(model(), data, validation_data=validation, patience=patience, **SETTINGS)
