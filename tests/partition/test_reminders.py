import warnings

import pytest
import torch

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from tests.strategies import KnowsItsTask, generator

EPOCHS = 10


def trained(
    *, evaluate=True, give_logits=True, make=torch.optim.AdamW, set_to_none=True, **settings
):
    """The warnings of a training."""
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 2), generator=generator(0))
    regularizer = PartitionRegularizer(layer, 2, generator=generator(1), **settings)
    schedule = PartitionSchedule(regularizer, EPOCHS, probe=KnowsItsTask())
    parameters = [*layer.parameters(), *(regularizer.parameters() if give_logits else [])]
    optimizer = make(parameters, lr=1e-3)
    x = torch.rand(16, 2, generator=generator(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch in range(EPOCHS):
            schedule.step(epoch)
            for _ in range(2):
                loss = layer(x).square().mean() + (regularizer() if evaluate else 0)
                optimizer.zero_grad(set_to_none=set_to_none)
                loss.backward()
                optimizer.step()
    return [(str(warning.message), warning.filename) for warning in caught]


def test_terms_that_are_not_in_the_loss_are_said_once_in_the_loop_of_the_user():
    ((message, filename),) = trained(evaluate=False)
    assert "add regularizer() to the loss" in message
    assert filename == __file__


def test_logits_that_no_optimizer_has_are_said_once():
    ((message, _),) = trained(give_logits=False)
    assert message.startswith("The logits of the regularizer do not move")


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_loop_with_all_steps_has_no_warnings(make, set_to_none):
    assert trained(make=make, set_to_none=set_to_none) == []


def test_logits_that_are_not_to_be_trained_need_no_optimizer():
    assert trained(give_logits=False, train="weights") == []


def test_a_regularizer_without_terms_is_not_missed():
    assert trained(give_logits=False, ncut=0.0, balance=0.0) == []


def test_a_schedule_that_was_never_stepped_says_so():
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 2), generator=generator(0))
    schedule = PartitionSchedule(PartitionRegularizer(layer, 2), EPOCHS, probe=KnowsItsTask())
    with pytest.warns(UserWarning, match=r"Call schedule.step\(epoch\)"):
        schedule.labels()
