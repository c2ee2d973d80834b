import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules import (
    Equilibrium,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    prune_cross_edges,
    split,
)
from pyg_modules.partition.labels import stays_independent
from tests.strategies import backends, generator, layers_with_labels, normal

OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(
        parameters, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True
    ),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.02, weight_decay=0.01),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.02, amsgrad=True),
}


def layer_and_labels(solver=None, backend="auto"):
    layer = SynchronousGraph(
        UnitGraph.complete(3, 12, 2),
        solver or Unrolled(4),
        "tanh",
        backend=backend,
        dtype=torch.float64,
    )
    layer.reset_parameters(generator(0))
    labels = torch.full((17,), -1)
    labels[3:15] = torch.arange(12) % 3
    return layer, labels


def train(layer, optimizer, steps, after_step=lambda: None):
    x, y = normal(16, 3, seed=1), normal(16, 2, seed=2)
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step()
        after_step()


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(st.data())
def test_a_pruned_layer_computes_what_the_cut_one_does(scope, data):
    layer, labels = data.draw(layers_with_labels(scope))
    modular = cut(layer, labels)
    edges = layer.weight
    assert prune_cross_edges(layer, labels) is layer
    assert layer.weight is edges
    x = normal(3, layer.graph.num_inputs)
    torch.testing.assert_close(layer(x), modular(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.step(layer.states(x)), modular.step(modular.states(x)))
    again = cut(layer, labels)
    assert again.graph == modular.graph
    assert torch.equal(again.weight, modular.weight)


@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_removed_edges_stay_exactly_0_in_weights_gradients_and_optimizer_state(name, backend):
    layer, labels = layer_and_labels(backend=backend)
    optimizer = OPTIMIZERS[name](layer.parameters())
    train(layer, optimizer, 5)  # So that there is momentum to forget.
    removed = ~stays_independent(layer.graph, labels)
    assert layer.weight[removed].all()
    prune_cross_edges(layer, labels, optimizer=optimizer)

    def check():
        assert not layer.weight[removed].any()
        assert not layer.weight.grad[removed].any()
        for value in optimizer.state[layer.weight].values():
            if isinstance(value, torch.Tensor) and value.shape == layer.weight.shape:
                assert not value[removed].any()

    check()
    train(layer, optimizer, 10, after_step=check)
    assert layer.weight[~removed].all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_on_a_pruned_layer_is_training_the_cut_one(name):
    layer, labels = layer_and_labels()
    optimizer = OPTIMIZERS[name](layer.parameters())
    train(layer, optimizer, 5)
    whole, labels_again = copy.deepcopy((layer, labels))
    optimizer_again = OPTIMIZERS[name](whole.parameters())
    optimizer_again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    modular = cut(whole, labels_again, optimizer=optimizer_again)
    prune_cross_edges(layer, labels, optimizer=optimizer)
    train(layer, optimizer, 20)
    train(modular, optimizer_again, 20)
    kept = stays_independent(layer.graph, labels)
    torch.testing.assert_close(layer.weight[kept], modular.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(layer.bias, modular.bias, rtol=1e-9, atol=1e-12)


def test_without_the_optimizer_removed_edges_have_no_effect_all_the_same():
    layer, labels = layer_and_labels()
    optimizer = OPTIMIZERS["SGD"](layer.parameters())
    train(layer, optimizer, 5)
    prune_cross_edges(layer, labels)
    train(layer, optimizer, 3)
    x = normal(4, 3)
    torch.testing.assert_close(layer(x), cut(layer, labels)(x), rtol=1e-10, atol=1e-10)


def test_pruning_again_removes_more():
    layer, labels = layer_and_labels()
    prune_cross_edges(layer, labels)
    other = labels.clone()
    other[3:15] = torch.arange(12) // 6
    x = normal(4, 3)
    prune_cross_edges(layer, other)
    kept = stays_independent(layer.graph, labels) & stays_independent(layer.graph, other)
    assert torch.equal(layer.edge_mask, kept)
    torch.testing.assert_close(layer(x), cut(layer, other)(x), rtol=1e-10, atol=1e-10)


def test_a_contraction_looks_at_the_edges_that_are_left():
    layer, labels = layer_and_labels(Equilibrium(tol=1e-12, max_steps=500, contraction=0.5))
    with torch.no_grad():
        layer.weight.mul_(20)
    prune_cross_edges(layer, labels)
    x = normal(4, 3)
    torch.testing.assert_close(layer(x), cut(layer, labels)(x), rtol=1e-8, atol=1e-8)


def test_a_copy_and_a_saved_layer_stay_pruned(tmp_path):
    layer, labels = layer_and_labels()
    prune_cross_edges(layer, labels)
    layer.save(tmp_path)
    loaded = SynchronousGraph.load(tmp_path)
    x = normal(4, 3)
    for other in (copy.deepcopy(layer), loaded):
        assert torch.equal(other.edge_mask, layer.edge_mask)
        with torch.no_grad():
            other.weight.add_(1.0)
        torch.testing.assert_close(other(x), cut(other, labels)(x), rtol=1e-10, atol=1e-10)


def test_a_layer_is_pruned_as_the_one_whose_state_it_gets():
    layer, labels = layer_and_labels()
    other, _ = layer_and_labels()
    plain = copy.deepcopy(layer.state_dict())
    prune_cross_edges(layer, labels)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.edge_mask, layer.edge_mask)
    assert other.edge_mask is not layer.edge_mask
    other.load_state_dict(plain)
    assert other.edge_mask is None


def test_bad_input_is_refused_and_changes_nothing():
    layer, labels = layer_and_labels()
    weight = layer.weight.detach().clone()
    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    with pytest.raises(ValueError, match=r"optimizer of the layer \(got one without its weight\)"):
        prune_cross_edges(layer, labels, optimizer=other)
    lbfgs = torch.optim.LBFGS(layer.parameters())
    with pytest.raises(ValueError, match=r"param_groups alone \(got LBFGS"):
        prune_cross_edges(layer, labels, optimizer=lbfgs)
    with pytest.raises(TypeError, match=r"torch.optim.Optimizer \(got dict\)"):
        prune_cross_edges(layer, labels, optimizer={})
    with pytest.raises(ValueError, match=r"every hidden unit in a module \(got -1 for unit 3\)"):
        prune_cross_edges(layer, torch.where(torch.arange(17) == 3, -1, labels))
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        prune_cross_edges(torch.nn.Linear(2, 2), labels)
    assert layer.edge_mask is None
    assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("kept", ["bias", "none"])
def test_a_state_without_the_weights_leaves_a_pruned_layer_pruned(kept):
    layer, labels = layer_and_labels()
    model = torch.nn.Sequential(prune_cross_edges(layer, labels))
    mask = layer.edge_mask.clone()
    state = {"0.bias": torch.ones_like(layer.bias)} if kept == "bias" else {}
    model.load_state_dict(state, strict=False)
    assert torch.equal(layer.edge_mask, mask)


def test_weights_that_do_not_fit_leave_a_pruned_layer_pruned():
    layer, labels = layer_and_labels()
    mask = prune_cross_edges(layer, labels).edge_mask.clone()
    other = SynchronousGraph(UnitGraph.complete(3, 9, 2), dtype=torch.float64)
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict(other.state_dict(), strict=False)
    assert torch.equal(layer.edge_mask, mask)


@pytest.mark.parametrize("make", [lambda layer, _: layer, cut, prune_cross_edges])
def test_what_is_made_in_inference_mode_can_be_trained(make):
    layer, labels = layer_and_labels()
    with torch.inference_mode():
        made = make(layer, labels)
        parts = split(cut(layer, labels))
        merged = merge(parts)
    for network in (made, merged, *parts):
        network(normal(4, 3)).sum().backward()
        assert network.weight.grad.isfinite().all()


def test_edges_stay_off_whatever_type_a_layer_gets():
    layer = SynchronousGraph(UnitGraph.complete(4, 6, 2))
    prune_cross_edges(layer, torch.tensor([-1] * 4 + [0, 1] * 3 + [-1] * 2))
    x = torch.rand(2, 4)
    expected = layer(x)
    assert layer.type(torch.float64).edge_mask.dtype == torch.bool
    torch.testing.assert_close(layer(x.double()), expected.double())
