import pytest
import torch
from torch import nn

from pyg_modules.train.optimization import Optimization, learning_rates, parameters_but


def test_a_constant_learning_rate_falls_to_0_in_the_last_fifth():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = learning_rates(optimizer, total_steps=10, one_cycle=False)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == [2.0] * 9 + [1.0]
    assert optimizer.param_groups[0]["lr"] == 0.0


def test_what_is_trained_beside_the_model_is_neither_clipped_nor_decayed():
    model = nn.Linear(3, 1, bias=False)
    beside = nn.Parameter(torch.tensor([5.0]))
    weight = model.weight.detach().clone()
    settings = {"learning_rate": 0.1, "one_cycle": False, "total_steps": 100}
    optimization = Optimization(model, [beside], weight_decay=0.5, **settings)
    optimization.step(1e3 * model(torch.ones(3)).sum() + 1e3 * beside.sum())
    # AdamW steps by the learning rate at first, whatever the gradient.
    torch.testing.assert_close(model.weight, weight * (1 - 0.1 * 0.5) - 0.1)
    torch.testing.assert_close(beside, torch.tensor([4.9]))
    assert model.weight.grad.norm() <= 1
    assert beside.grad == 1e3


def test_parameters_beside_may_be_a_part_of_the_model():
    model = nn.ModuleDict({"layer": nn.Linear(2, 2), "beside": nn.Linear(1, 1)})
    kept = parameters_but(model["beside"].parameters(), model)
    assert list(map(id, kept)) == list(map(id, model["layer"].parameters()))


@pytest.mark.parametrize("one_cycle", [True, False])
def test_a_single_step_has_the_whole_learning_rate(one_cycle):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    learning_rates(optimizer, total_steps=1, one_cycle=one_cycle)
    assert optimizer.param_groups[0]["lr"] == 2.0


@pytest.mark.parametrize("kind", ["plain", "double", "strided", "half"])
def test_steps_are_those_of_adamw_wherever_the_weights_lie(kind):
    def trained(step_of):
        model = nn.Linear(4, 3, bias=False)
        weight = torch.linspace(-1, 1, 24).view(3, 8)
        weight = {"strided": weight[:, ::2], "half": weight[:, :4].bfloat16()}.get(
            kind, weight[:, :4].clone()
        )
        model.weight = nn.Parameter(weight.double() if kind == "double" else weight)
        step = step_of(model)
        x = torch.arange(4).to(model.weight.dtype)
        for _ in range(5):
            step(model(x).square().sum() / 1e3)
        return model.weight.detach()

    def by_hand(model):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5, fused=False)

        def step(loss):
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return step

    settings = {"learning_rate": 0.1, "weight_decay": 0.5, "one_cycle": False, "total_steps": 100}
    found = trained(lambda model: Optimization(model, [], **settings).step)
    torch.testing.assert_close(found, trained(by_hand), rtol=1e-6, atol=1e-7)


def test_what_else_is_in_the_loss_gets_no_gradient():
    model, other = nn.Linear(2, 1), nn.Parameter(torch.ones(()))
    settings = {"learning_rate": 0.1, "weight_decay": 0.0, "one_cycle": False, "total_steps": 1}
    optimization = Optimization(model, [], **settings)
    before = model.weight.detach().clone()
    optimization.step(other * model(torch.ones(4, 2)).sum())
    assert not torch.equal(model.weight, before)
    assert other.grad is None
