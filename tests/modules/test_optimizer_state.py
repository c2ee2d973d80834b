"""After a cut all is trained on as in the uncut layer without its edges, or nothing was changed."""

import copy
import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut, prune_cross_edges
from pyg_modules.modules.cut import stays_independent
from tests.strategies import generator, normal

LABELS = torch.tensor([-1] * 3 + [0, 1, 2] * 4 + [-1] * 2)

OPTIMIZERS = {
    "SGD": lambda held: torch.optim.SGD(held, lr=0.1, momentum=0.9, nesterov=True),
    "SGD without momentum": lambda held: torch.optim.SGD(held, lr=0.1, weight_decay=0.1),
    "Adam": lambda held: torch.optim.Adam(held, lr=0.02, amsgrad=True, foreach=False),
    "Adam foreach": lambda held: torch.optim.Adam(held, lr=0.02, foreach=True),
    "AdamW fused": lambda held: torch.optim.AdamW(held, lr=0.02, fused=True),
    "Adamax": lambda held: torch.optim.Adamax(held, lr=0.02),
    "NAdam": lambda held: torch.optim.NAdam(held, lr=0.02),
    "RAdam": lambda held: torch.optim.RAdam(held, lr=0.02),
    "RMSprop": lambda held: torch.optim.RMSprop(held, lr=0.02, centered=True, momentum=0.5),
    "Rprop": lambda held: torch.optim.Rprop(held, lr=0.02),
    "Adagrad": lambda held: torch.optim.Adagrad(held, lr=0.02),
    "Adadelta": lambda held: torch.optim.Adadelta(held, lr=0.5),
    "ASGD": lambda held: torch.optim.ASGD(held, lr=0.02),
}

GROUPS = {
    "one": lambda layer: layer.parameters(),
    "two": lambda layer: [
        {"params": [layer.bias], "lr": 0.03},
        {"params": [layer.weight], "lr": 0.01},
    ],
    "others": lambda layer: [nn.Parameter(torch.ones(4)), *layer.parameters()],
    "named": lambda layer: layer.named_parameters(),
    "twice": lambda layer: [{"params": [layer.weight, layer.bias, layer.weight]}],
    "frozen weight": lambda layer: [layer.weight.requires_grad_(False), layer.bias],
    "weight left out": lambda layer: [layer.weight.requires_grad_(False), layer.bias][1:],
    "bias left out": lambda layer: [layer.weight, layer.bias.requires_grad_(False)][:1],
}


def new_layer():
    graph = UnitGraph.complete(3, 12, 2)
    layer = SynchronousGraph(graph, Unrolled(4), "tanh", dtype=torch.float64)
    layer.reset_parameters(generator(0))
    return layer


def step(layer, optimizer, kept=None):
    """One of training; with ``kept``, other weights get no gradient."""
    optimizer.zero_grad()
    (layer(normal(16, 3, seed=1)) - normal(16, 2, seed=2)).square().mean().backward()
    if kept is not None and layer.weight.grad is not None:
        layer.weight.grad[~kept] = 0
    optimizer.step()


def assert_trained_on_like_the_uncut_one(make_cut, make_optimizer, groups):
    layer = new_layer()
    optimizer = make_optimizer(groups(layer))
    for _ in range(3):
        step(layer, optimizer)
    whole, of_whole = copy.deepcopy((layer, optimizer))
    kept = stays_independent(layer.graph, LABELS)
    with torch.no_grad():
        for value in (whole.weight, *of_whole.state[whole.weight].values()):
            if torch.is_tensor(value) and value.shape == kept.shape:
                value[~kept] = 0
    made = make_cut(layer, LABELS, optimizer=optimizer)
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    step(made, optimizer)
    step(whole, of_whole, kept)

    def assert_same(value, expected):
        if make_cut is cut and torch.is_tensor(expected) and expected.shape == kept.shape:
            expected = expected[kept]
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)

    assert whole.weight[~kept].count_nonzero() == 0
    for name, parameter in made.named_parameters():
        expected = dict(whole.named_parameters())[name]
        assert_same(parameter.detach(), expected.detach())
        assert torch.equal(parameter, before[name]) != parameter.requires_grad
        state, of_expected = optimizer.state[parameter], of_whole.state[expected]
        assert list(state) == list(of_expected)
        for key, value in state.items():
            assert_same(value, of_expected[key])


@pytest.mark.parametrize("make_cut", [cut, prune_cross_edges])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on(name, make_cut):
    assert_trained_on_like_the_uncut_one(make_cut, OPTIMIZERS[name], GROUPS["one"])


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@pytest.mark.parametrize("make_cut", [cut, prune_cross_edges])
@pytest.mark.parametrize("groups", GROUPS)
def test_parameters_are_found_wherever_the_optimizer_holds_them(groups, make_cut):
    assert_trained_on_like_the_uncut_one(make_cut, OPTIMIZERS["Adam"], GROUPS[groups])


def test_gradients_that_are_being_summed_up_go_along():
    x, gradients = torch.rand(6, new_layer().graph.num_inputs, dtype=torch.float64), []
    for make_cut in (cut, prune_cross_edges):
        layer = new_layer()
        optimizer = OPTIMIZERS["Adam"](GROUPS["one"](layer))
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        made = make_cut(layer, LABELS, optimizer=optimizer)
        made(x).square().sum().backward()
        kept = stays_independent(layer.graph, LABELS)
        weight = made.weight.grad if make_cut is cut else made.weight.grad[kept]
        gradients.append((weight, made.bias.grad))
        assert make_cut is not cut or made.bias.grad is not layer.bias.grad
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_hooks_on_gradients_go_along_with_the_optimizer():
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2), activation="prelu")
    optimizer, seen = torch.optim.SGD(layer.parameters(), 1.0), []
    for parameter in layer.parameters():
        parameter.register_hook(lambda grad: grad.clamp(-1e-3, 1e-3))
        parameter.register_post_accumulate_grad_hook(seen.append)
    modular = cut(layer, LABELS, optimizer=optimizer)
    (1000 * modular(normal(5, 3).float()).sum()).backward()
    assert {id(one) for one in seen} == {id(one) for one in modular.parameters()}
    assert all(float(one.grad.abs().max()) == pytest.approx(1e-3) for one in modular.parameters())


def test_an_optimizer_that_looks_at_the_size_of_a_layer_remembers_what_is_kept():
    layer = new_layer()
    optimizer = torch.optim.Adafactor(layer.parameters(), lr=0.1)
    step(layer, optimizer)
    variance = optimizer.state[layer.weight]["variance"].clone()
    made = cut(layer, LABELS, optimizer=optimizer)
    kept = stays_independent(layer.graph, LABELS)
    assert torch.equal(optimizer.state[made.weight]["variance"], variance[kept])
    before = made.weight.detach().clone()
    step(made, optimizer)
    assert not (made.weight == before).any()


def test_a_layer_tied_to_the_one_that_was_cut_is_left_as_it_is():
    layer, tied = new_layer(), new_layer()
    tied.weight = layer.weight
    optimizer = OPTIMIZERS["Adam"](layer.parameters())
    step(layer, optimizer)
    before = tied.weight.detach().clone()
    made = cut(layer, LABELS, optimizer=optimizer)
    step(made, optimizer)
    assert torch.equal(tied.weight, before)
    assert optimizer.param_groups[0]["params"] == [made.weight, made.bias]


class Around(torch.optim.Optimizer):
    """One whose groups are those of another."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, {})
        self.param_groups = inner.param_groups
        self.inner = inner

    def step(self):
        self.inner.step()


class AroundSeveral(torch.optim.Optimizer):
    """One that has a table of others."""

    def __init__(self, layer):
        super().__init__(layer.parameters(), {})
        self.by_name = {name: torch.optim.Adam([one]) for name, one in layer.named_parameters()}

    def step(self):
        for optimizer in self.by_name.values():
            optimizer.step()


class Wrapped:
    """What behaves as an optimizer does and is none."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Whitening(torch.optim.SGD):
    """One that remembers a matrix per parameter."""

    def step(self):
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["factor"] = torch.eye(len(parameter), device="cpu")


class Recording(torch.optim.SGD):
    """One that remembers a list per parameter."""

    def step(self):
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["steps"] = [parameter.detach().clone()]


@pytest.fixture
def one_rank():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def adam(layer):
    return torch.optim.Adam(layer.parameters(), lr=0.1)


def sharded(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Torch's own, at this import.
        from torch.distributed.optim import ZeroRedundancyOptimizer
    return ZeroRedundancyOptimizer(layer.parameters(), torch.optim.Adam, lr=0.1)


REFUSED = {
    "ZeroRedundancyOptimizer": sharded,
    "Around": lambda layer: Around(adam(layer)),
    "AroundSeveral": AroundSeveral,
    "Wrapped": lambda layer: Wrapped(adam(layer)),
    "LBFGS": lambda layer: torch.optim.LBFGS(layer.parameters()),
    "Whitening": lambda layer: Whitening(layer.parameters(), lr=0.1),
    "Recording": lambda layer: Recording(layer.parameters(), lr=0.1),
    "SGD": lambda layer: torch.optim.SGD([layer.bias], lr=0.1),
}


def everything(layer, optimizer):
    """What may not change, and the parameters that are held."""
    held = [id(one) for group in optimizer.param_groups for one in group["params"]]
    state = {id(key): {**value} for key, value in optimizer.state.items()}
    return copy.deepcopy((layer.state_dict(), held, state))


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("make_cut", [cut, prune_cross_edges])
@pytest.mark.parametrize("name", REFUSED)
def test_other_optimizers_are_refused_before_anything_has_changed(name, make_cut):
    layer = new_layer()
    optimizer = REFUSED[name](layer)
    if name == "LBFGS":
        optimizer.step(lambda: layer(normal(4, 3)).square().sum())
    else:
        step(layer, optimizer)
    before = everything(layer, optimizer)
    with pytest.raises((TypeError, ValueError), match=rf"\(got (one without|.*{name}).*\. G"):
        make_cut(layer, LABELS, optimizer=optimizer)
    torch.testing.assert_close(everything(layer, optimizer), before, rtol=0, atol=0)


class Halved(nn.Module):
    def forward(self, weight):
        return 0.5 * weight


def reweight(layer, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return weight_norm(layer, name, dim=None)


PARAMETRIZED = {
    "weight norm": lambda layer: parametrizations.weight_norm(layer, "weight", dim=None),
    "registered": lambda layer: parametrize.register_parametrization(layer, "weight", Halved()),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "weight norm by a hook": lambda layer: reweight(layer, "weight"),
    "spectral norm by a hook": lambda layer: spectral_norm(layer, "weight"),
}


@pytest.mark.parametrize("make_cut", [cut, prune_cross_edges])
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrized_layers_are_refused_before_anything_has_changed(name, make_cut):
    layer = new_layer()
    PARAMETRIZED[name](layer)
    optimizer = adam(layer)
    step(layer, optimizer)
    before = everything(layer, optimizer)
    match = r"weight to be a parameter of the layer.* \(got one that is computed from .*weight"
    with pytest.raises(ValueError, match=match):
        make_cut(layer, LABELS, optimizer=optimizer)
    torch.testing.assert_close(everything(layer, optimizer), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrized_layers_are_pruned_without_an_optimizer(name):
    layer = new_layer()
    PARAMETRIZED[name](layer)
    optimizer = adam(layer)
    step(layer, optimizer)
    prune_cross_edges(layer, LABELS)
    step(layer, optimizer)
    outputs = layer(normal(4, 3))
    made = cut(layer, LABELS)
    torch.testing.assert_close(made(normal(4, 3)), outputs, rtol=1e-9, atol=1e-12)


def test_parametrized_biases_are_cut_without_an_optimizer_alone():
    layer = new_layer()
    parametrize.register_parametrization(layer, "bias", Halved())
    optimizer = adam(layer)
    with pytest.raises(ValueError, match=r"Expected bias to be a parameter of the layer"):
        cut(layer, LABELS, optimizer=optimizer)
    made = cut(layer, LABELS)
    assert torch.equal(made.bias, layer.bias)
    assert_trained_without(made)


def assert_trained_without(layer):
    optimizer = adam(layer)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    step(layer, optimizer)
    for parameter, value in zip(layer.parameters(), before, strict=True):
        assert not (parameter == value).any()
