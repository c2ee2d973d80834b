"""A layer on other edges knows all that it knew of those that stay, or it is left as it was."""

import copy

import pytest
import torch
from torch.nn.utils import parametrizations

from pyg_modules import (
    Equilibrium,
    SynchronousConv,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.structure import rewire
from tests.modules.test_optimizer_state import GROUPS, OPTIMIZERS, REFUSED
from tests.strategies import backends, generator, normal

COUNTS = 17, 3, 2


def new_layer(graph=None, **settings):
    settings = {"solver": Unrolled(4), "activation": "tanh", **settings}
    graph = graph or UnitGraph.erdos_renyi(3, 12, 2, 0.4, generator=generator(0), repair=True)
    layer = SynchronousGraph(graph, dtype=torch.float64, **settings)
    layer.reset_parameters(generator(1))
    return layer


def other_graph(graph, seed=2, num_changed=9):
    """Some edges go, as many come, and all are in another order; and where they were, or -1."""
    rand = generator(seed)
    missing = set(map(tuple, UnitGraph.complete(3, 12, 2).edge_index.T.tolist()))
    missing -= set(map(tuple, graph.edge_index.T.tolist()))
    missing = torch.tensor(sorted(missing))
    chosen = torch.randperm(len(missing), generator=rand)[:num_changed]
    kept = torch.randperm(graph.num_edges, generator=rand)[num_changed:]
    place = torch.cat([kept, torch.full((num_changed,), -1)])
    edge_index = torch.cat([graph.edge_index[:, kept], missing[chosen].T], dim=1)
    order = torch.randperm(len(place), generator=rand)
    return UnitGraph(edge_index[:, order], *COUNTS), place[order]


def train(layer, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(normal(16, 3, seed=1)) - normal(16, 2, seed=2)).square().mean().backward()
        optimizer.step()


def everything(layer, optimizer):
    """What may not change, and the parameters that are held."""
    held = [id(one) for group in optimizer.param_groups for one in group["params"]]
    state = {id(key): {**value} for key, value in optimizer.state.items()}
    return copy.deepcopy((layer.state_dict(), held, state)), layer.graph


def assert_unchanged(found, before):
    assert found[1] is before[1]
    torch.testing.assert_close(found[0], before[0], rtol=0, atol=0)


@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("solver", [Unrolled(4), Equilibrium(tol=1e-12, contraction=0.9)])
def test_weights_biases_and_gradients_of_edges_that_stay_are_kept(backend, solver):
    layer = new_layer(backend=backend, solver=solver)
    layer(normal(4, 3)).sum().backward()
    weight, grad = layer.weight.detach().clone(), layer.weight.grad.clone()
    bias, parameter = layer.bias, layer.bias.detach().clone()
    graph, place = other_graph(layer.graph)
    assert rewire(layer, graph) is layer
    assert layer.graph is graph
    is_new = place < 0
    assert torch.equal(layer.weight[~is_new], weight[place[~is_new]])
    assert torch.equal(layer.weight.grad[~is_new], grad[place[~is_new]])
    assert not layer.weight[is_new].any()
    assert not layer.weight.grad[is_new].any()
    assert layer.bias is bias
    assert torch.equal(bias, parameter)
    # It computes what a layer does that was made with these edges.
    made = new_layer(graph, backend="scatter", solver=solver)
    with torch.no_grad():
        made.weight.copy_(layer.weight)
        made.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(normal(4, 3)), made(normal(4, 3)), rtol=1e-9, atol=1e-10)


def test_outputs_stay_where_edges_stay():
    layer = new_layer()
    x, outputs = normal(8, 3), layer(normal(8, 3)).detach()
    whole = UnitGraph.complete(3, 12, 2)
    sparse, num_edges = layer.graph, layer.graph.num_edges
    torch.testing.assert_close(rewire(layer, whole)(x), outputs, rtol=0, atol=1e-12)
    assert layer.weight.count_nonzero() == num_edges
    torch.testing.assert_close(rewire(layer, sparse)(x), outputs, rtol=0, atol=1e-12)
    weight = layer.weight.detach().clone()
    rewire(layer, sparse)
    assert torch.equal(layer.weight, weight)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@pytest.mark.parametrize("groups", GROUPS)
def test_the_optimizer_goes_on_wherever_it_holds_the_parameters(groups):
    assert_goes_on(OPTIMIZERS["Adam"], GROUPS[groups])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_and_new_edges_get_the_mean_of_what_is_never_negative(name):
    assert_goes_on(OPTIMIZERS[name], GROUPS["one"])


def assert_goes_on(make_optimizer, groups):
    """Trained on as a complete layer is whose missing edges are at 0 and were never moved."""
    layer = new_layer()
    optimizer = make_optimizer(groups(layer))
    train(layer, optimizer, 3)
    weight = layer.weight
    before = {
        key: value.clone() if torch.is_tensor(value) else value
        for key, value in optimizer.state.get(weight, {}).items()
    }
    graph, place = other_graph(layer.graph)
    rewire(layer, graph, optimizer=optimizer)
    held = [one for group in optimizer.param_groups for one in group["params"]]
    assert not any(one is weight for one in held)
    assert weight not in optimizer.state
    after = optimizer.state.get(layer.weight, {})
    assert list(after) == list(before)
    for key, value in before.items():
        if torch.is_tensor(value) and value.shape == weight.shape:
            assert torch.equal(after[key][place >= 0], value[place[place >= 0]])
            of_new = value.mean() if (value >= 0).all() else torch.zeros(())
            assert (after[key][place < 0] == of_new).all()
        else:
            assert after[key] == value
    unmoved_weights = layer.weight.detach().clone()
    train(layer, optimizer)
    if any(one is layer.weight for one in held):
        assert layer.weight.requires_grad != torch.equal(layer.weight, unmoved_weights)


@pytest.mark.parametrize("name", ["SGD with momentum", "Adam", "RMSprop", "ASGD", "Rprop"])
def test_new_edges_have_no_momentum_even_if_that_of_all_others_is_positive(name):
    make = {
        "SGD with momentum": lambda held: torch.optim.SGD(held, lr=0.1, momentum=0.9),
        "Adam": lambda held: torch.optim.Adam(held, lr=0.1),
        "RMSprop": lambda held: torch.optim.RMSprop(held, lr=0.1, momentum=0.9, centered=True),
        "ASGD": lambda held: torch.optim.ASGD(held, lr=0.1),
        "Rprop": lambda held: torch.optim.Rprop(held, lr=0.1),
    }[name]
    layer = SynchronousGraph(UnitGraph(torch.tensor([[0, 1, 2], [2, 2, 3]]), 4, 2, 1))
    with torch.no_grad():
        layer.weight.fill_(3.0)
    optimizer = make([layer.weight])
    layer(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    new = layer.graph.with_edges(torch.tensor([[0, 1, 2, 2], [2, 2, 3, 2]]))
    rewire(layer, new, optimizer=optimizer)
    layer.weight.grad = torch.zeros(4)
    optimizer.step()
    assert layer.weight[-1] == 0


def test_adam_takes_no_larger_steps_for_new_edges_than_for_others():
    layer = new_layer()
    layer.weight.requires_grad_()
    optimizer = torch.optim.Adam([layer.weight], lr=0.01)
    signs = torch.ones_like(layer.weight)
    signs[::2] = -1
    for _ in range(500):
        layer.weight.grad = signs.clone()
        optimizer.step()
    graph, place = other_graph(layer.graph)
    before = rewire(layer, graph, optimizer=optimizer).weight.detach().clone()
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    # As large as those of others if the gradient stays what it is: a tenth of it counts at first.
    steps = (before - layer.weight)[place < 0]
    torch.testing.assert_close(steps, torch.full_like(steps, 0.001), rtol=1e-2, atol=0)


def test_an_optimizer_with_settings_of_its_own_goes_on():
    class Signs(torch.optim.Optimizer):
        def __init__(self, held, *, maximize=False):
            self.maximize = maximize
            super().__init__(held, {"lr": 0.01})

        @torch.no_grad()
        def step(self):
            for held in self.param_groups[0]["params"]:
                mean = self.state[held].setdefault("mean", torch.zeros_like(held))
                mean.lerp_(held.grad, 0.1)
                held.sub_(0.01 * mean.sign() * (-1 if self.maximize else 1))

    assert_goes_on(Signs, GROUPS["one"])


def test_edges_that_were_pruned_stay_so_and_new_ones_are_not():
    layer = new_layer()
    graph, place = other_graph(layer.graph)
    layer.edge_mask = torch.arange(layer.graph.num_edges) % 3 > 0
    mask = layer.edge_mask
    rewire(layer, graph)
    expected = torch.where(place < 0, True, mask[place])
    assert torch.equal(layer.edge_mask, expected)
    left = UnitGraph(graph.edge_index[:, expected], *COUNTS)
    assert rewire(layer, left).edge_mask is None


@pytest.mark.parametrize("looking", [(), ((1, 1),), ((0, 1), (1, 2)), ((0, 1), (1, 1), (1, 2))])
def test_new_edges_look_at_neighbours_if_those_of_their_kind_do(looking):
    whole = UnitGraph.complete(3, 6, 2)

    def mask_of(graph):
        sort = torch.tensor([0] * 3 + [1] * 6 + [2] * 2)
        pairs = [tuple(pair) for pair in sort[graph.edge_index].T.tolist()]
        return torch.tensor([pair in looking for pair in pairs])

    some = UnitGraph(whole.edge_index[:, ::2], 11, 3, 2)
    layer = SynchronousConv(some, neighbours=mask_of(some))
    rewire(layer, whole)
    found = torch.ones(whole.num_edges, dtype=torch.bool)
    if layer.neighbours is not None:
        found = layer.neighbours
    assert torch.equal(found, mask_of(whole))


def test_a_kind_of_edges_that_was_not_there_looks_as_any_did():
    levels = UnitGraph.layered([2, 3, 2])
    for looks in (False, True):
        layer = SynchronousConv(levels, neighbours=torch.full((12,), looks))
        rewire(layer, UnitGraph.complete(2, 3, 2))
        assert (layer.neighbours is None) == looks


def test_hooks_are_kept():
    layer, seen = new_layer(), []
    layer.register_forward_hook(lambda *_: seen.append("forward"))
    layer.weight.register_hook(lambda grad: seen.append(("grad", grad.numel())))
    layer.weight.register_post_accumulate_grad_hook(lambda one: seen.append(("after", one.numel())))
    handle = layer.weight.register_hook(lambda _: seen.append("removed"))
    smaller = UnitGraph(layer.graph.edge_index[:, 1:], *COUNTS)
    rewire(layer, smaller)
    handle.remove()
    layer(normal(2, 3)).sum().backward()
    count = smaller.num_edges
    assert seen == ["forward", ("grad", count), ("after", count)]


def test_a_layer_that_is_cut_keeps_its_labels_and_gets_no_edges_between_modules():
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    layer = cut(new_layer(UnitGraph.complete(3, 12, 2)), labels)
    whole = layer.graph
    rewire(layer, UnitGraph(whole.edge_index[:, ::2], *COUNTS))
    assert torch.equal(layer.labels, labels)
    rewire(layer, whole)
    before = layer.weight
    with pytest.raises(ValueError, match=r"within the modules .* \(got 72 others\)"):
        rewire(layer, UnitGraph.complete(3, 12, 2))
    assert layer.weight is before
    assert layer.graph is whole


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"ZeroRedundancyOptimizer", "SGD"}))
def test_other_optimizers_are_refused_before_anything_has_changed(name):
    layer = new_layer()
    optimizer = REFUSED[name](layer)
    if name == "LBFGS":
        optimizer.step(lambda: layer(normal(4, 3)).square().sum())
    else:
        train(layer, optimizer)
    before = everything(layer, optimizer)
    with pytest.raises((TypeError, ValueError), match=rf"\(got (one without|.*{name})"):
        rewire(layer, other_graph(layer.graph)[0], optimizer=optimizer)
    assert_unchanged(everything(layer, optimizer), before)


@pytest.mark.parametrize("kind", ["not given", "of another layer", "compiled", "parametrized"])
def test_what_would_go_on_with_the_edges_as_they_were_is_refused(kind):
    layer = new_layer()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    given, message = optimizer, "given"
    if kind == "not given":
        given, message = None, "optimizer of the layer .got none, but one holds its weight"
    elif kind == "of another layer":
        given = torch.optim.Adam(new_layer().parameters())
        message = "optimizer of the layer .got one without its weight"
    elif kind == "compiled":
        layer.compile(backend="eager")
        message = "not compiled .got one after layer.compile"
    else:
        parametrizations.weight_norm(layer, "weight", dim=None)
        message = "weight to be a parameter of the layer"
    before = everything(layer, optimizer)
    with pytest.raises(ValueError, match=message):
        rewire(layer, other_graph(before[1])[0], optimizer=given)
    assert_unchanged(everything(layer, optimizer), before)


def test_an_optimizer_that_is_gone_holds_nothing():
    layer = new_layer()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    train(layer, optimizer)
    scheduler.step()
    del optimizer, scheduler
    parameters = list(layer.parameters())  # No group of an optimizer.
    rewire(layer, other_graph(layer.graph)[0])
    assert parameters[0] is not layer.weight


def test_bad_arguments_are_refused():
    layer = new_layer()
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        rewire(torch.nn.Linear(2, 2), layer.graph)
    with pytest.raises(TypeError, match=r"graph to be a UnitGraph \(got Tensor\)"):
        rewire(layer, layer.graph.edge_index)
    with pytest.raises(ValueError, match=r"same units, num_units 17 \(got 18\)"):
        rewire(layer, UnitGraph.complete(3, 13, 2))
    with pytest.raises(ValueError, match=r"same units, num_inputs 3 \(got 2\)"):
        rewire(layer, UnitGraph.complete(2, 13, 2))
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    (part, *_) = split(cut(new_layer(UnitGraph.complete(3, 12, 2)), labels))
    with pytest.raises(ValueError, match=r"whole layer \(got a part, made by split"):
        rewire(part, part.graph)


def test_a_backend_that_cannot_compute_on_the_edges_leaves_the_layer_as_it_was():
    layer = new_layer(backend="block")
    before, edges = layer.weight, layer.graph.edge_index
    feedback = UnitGraph(torch.cat([edges, torch.tensor([[16], [3]])], dim=1), *COUNTS)
    with pytest.raises(ValueError, match="without outgoing edges for backend 'block'"):
        rewire(layer, feedback)
    assert layer.weight is before
    assert torch.equal(layer.graph.edge_index, edges)


def test_what_is_rewired_in_inference_mode_can_be_trained():
    layer = new_layer()
    with torch.inference_mode():
        rewire(layer, other_graph(layer.graph)[0])
    layer(normal(4, 3)).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_a_compiled_model_computes_on_the_new_edges():
    layer = new_layer()
    model = torch.nn.Sequential(layer)
    compiled = torch.compile(model, backend="eager")
    compiled(normal(4, 3))
    rewire(layer, other_graph(layer.graph)[0])
    torch.testing.assert_close(compiled(normal(4, 3)), model(normal(4, 3)))


def test_outputs_that_updates_reach_no_more_are_said_once(recwarn):
    complete = UnitGraph.complete(1, 4, 1)
    layer = SynchronousGraph(complete, solver=Unrolled(2))
    line = torch.tensor([range(5), range(1, 6)])  # Of 5 edges, where 2 updates walk 3.
    for _ in range(2):
        rewire(layer, UnitGraph(line, 6, 1, 1))
    (said,) = recwarn
    assert "1 of 1 outputs are the same for all inputs" in str(said.message)
    assert said.filename == __file__


def test_no_edges_are_edges_too():
    layer = new_layer()
    whole, none = layer.graph, UnitGraph(torch.empty(2, 0, dtype=torch.long), *COUNTS)
    rewire(layer, none)
    outputs = layer(normal(4, 3))
    torch.testing.assert_close(outputs, layer.bias[12:].expand(4, 2))
    assert not rewire(layer, whole).weight.any()
