"""An optimizer that goes on with the layer before the cut is told of, and no other."""

import copy
import gc
import warnings

import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, cut, split
from pyg_modules.modules import input_attribution
from pyg_modules.structure import rewire
from pyg_modules.structure.left_behind import watch_for_optimizer
from pyg_modules.train import fit, partition_verdict

X, Y = torch.rand(16, 2), torch.rand(16, 1)
LABELS = [-1, -1] + [0, 1] * 4 + [-1]
WARNING = "has a gradient, but no optimizer"


def in_training():
    """A layer, and its optimizer."""
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 1))
    optimizer = torch.optim.Adam(layer.parameters())
    step(layer, optimizer)
    return layer, optimizer


def step(layer, optimizer):
    loss = (layer(X) - Y).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def test_the_loop_that_goes_on_as_before_is_warned_once():
    layer, optimizer = in_training()
    modular = cut(layer, LABELS)
    seen = []
    modular.weight.register_post_accumulate_grad_hook(seen.append)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        step(modular, optimizer)
    assert caught[0].filename == __file__
    step(modular, optimizer)
    assert len(caught) == 1
    assert len(seen) == 2  # Other hooks are called as ever.


def handed_over(layer, optimizer):
    step(cut(layer, LABELS, optimizer=optimizer), optimizer)


def with_a_new_one(layer, _optimizer):
    modular = cut(layer, LABELS)
    step(modular, torch.optim.SGD(modular.parameters(), lr=0.1))


def added_to_the_old_one(layer, optimizer):
    modular = cut(layer, LABELS)
    optimizer.add_param_group({"params": list(modular.parameters())})
    step(modular, optimizer)


def when_the_old_one_is_gone(layer, optimizer):
    modular = cut(layer, LABELS)
    optimizer.param_groups.clear()
    optimizer.state.clear()
    (modular(X) - Y).square().mean().backward()


def by_fit(layer, _optimizer):
    fit(cut(layer, LABELS), (X, Y), epochs=1, seed=0, loss=torch.nn.functional.mse_loss)


def compared(layer, _optimizer):
    for labels in (LABELS, LABELS[:2] + [0, 0, 1, 1] * 2 + [-1]):
        modular = cut(layer, labels)
        assert modular(X).isfinite().all()
        partition_verdict(layer, labels, X, Y, loss=torch.nn.functional.mse_loss)
        input_attribution(split(modular), X)


def looked_at(layer, _optimizer):
    x = X.clone().requires_grad_()
    modular = cut(layer, LABELS)
    torch.autograd.grad(modular(x).sum(), [x, modular.weight])


def frozen(layer, _optimizer):
    layer.requires_grad_(False)
    modular = cut(layer, LABELS)
    modular.bias.requires_grad_()
    modular(X).sum().backward()


@pytest.mark.parametrize(
    "use",
    [
        handed_over,
        with_a_new_one,
        added_to_the_old_one,
        when_the_old_one_is_gone,
        by_fit,
        compared,
        looked_at,
        frozen,
    ],
)
def test_other_uses_are_not_warned(use):
    layer, optimizer = in_training()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(layer, optimizer)


def test_nothing_is_searched_for_and_left_behind_without_an_optimizer(monkeypatch):
    layer = SynchronousGraph(UnitGraph.complete(2, 8, 1))
    layer(X).sum().backward()
    monkeypatch.setattr(gc, "get_referrers", None)
    modular = cut(layer, LABELS)
    assert not modular.weight._post_accumulate_grad_hooks
    watch_for_optimizer(torch.nn.Module(), modular.weight)


def test_a_copy_of_a_watched_layer_can_be_made_and_saved(tmp_path):
    layer, _optimizer = in_training()
    modular = cut(layer, LABELS)
    torch.save(modular, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False)
    for other in (copy.deepcopy(modular), loaded):
        assert torch.equal(other(X), modular(X))


def at_two_places(layer):
    return torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(1, 2), layer)


def with_a_tied_weight(layer):
    other = SynchronousGraph(layer.graph)
    other.weight = layer.weight
    return torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(1, 2), other)


@pytest.mark.parametrize("model_with", [at_two_places, with_a_tied_weight])
def test_a_place_that_stays_behind_is_told_of_once(model_with):
    model = model_with(in_training()[0])
    optimizer = torch.optim.Adam(model.parameters())
    step(model, optimizer)
    model[1] = cut(model[1], LABELS, optimizer=optimizer)
    with pytest.warns(UserWarning, match="went on with the new weight. Put the new") as caught:
        step(model, optimizer)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(model, optimizer)


def test_a_layer_that_shared_the_weight_of_one_that_is_rewired_is_told_of():
    model = with_a_tied_weight(in_training()[0])
    optimizer = torch.optim.Adam(model.parameters())
    smaller = UnitGraph(model[1].graph.edge_index[:, 1:], 11, 2, 1)
    rewire(model[1], smaller, optimizer=optimizer)
    with pytest.warns(UserWarning, match=r"before it was cut or rewired has a gradient") as caught:
        step(model, optimizer)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(model, optimizer)
        rewire(model[1], UnitGraph.complete(2, 8, 1), optimizer=optimizer)
        step(model[1], optimizer)


def test_a_layer_left_behind_that_has_a_new_optimizer_is_no_news():
    layer, optimizer = in_training()
    modular = cut(layer, LABELS, optimizer=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(modular, optimizer)
        step(layer, torch.optim.SGD(layer.parameters(), lr=0.1))


def test_hooks_that_stay_behind_are_told_of():
    layer, _ = in_training()
    hook = layer.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],))
    with pytest.warns(UserWarning, match="has hooks, which stay with it") as caught:
        modular = cut(layer, LABELS)
    assert caught[0].filename == __file__
    hook.remove()
    for register in (modular.register_forward_hook, modular.register_full_backward_hook):
        hook = register(lambda *_: None)
        with pytest.warns(UserWarning, match="has hooks, which stay with it") as caught:
            split(modular)
        assert caught[0].filename == __file__
        hook.remove()


def test_a_shared_weight_is_told_of_though_the_layer_has_hooks_of_its_gradient():
    layer, optimizer = in_training()
    other, seen = SynchronousGraph(layer.graph), []
    other.weight = layer.weight
    layer.weight.register_post_accumulate_grad_hook(seen.append)
    rewire(layer, UnitGraph(layer.graph.edge_index[:, 1:], 11, 2, 1), optimizer=optimizer)
    step(layer, optimizer)
    assert [one is layer.weight for one in seen] == [True]
    with pytest.warns(UserWarning, match="cut or rewired has a gradient, but no optimizer"):
        other(X).sum().backward()
    assert len(seen) == 1
