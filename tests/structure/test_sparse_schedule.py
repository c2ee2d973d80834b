"""Edges come and go, as many as asked for, and the training goes on."""

import copy
from math import cos, pi

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.graph.reach import Reach
from pyg_modules.modules import prune_cross_edges
from pyg_modules.partition import agreement, ncut_loss
from pyg_modules.structure import SparseSchedule, gradient_growth, rewire
from pyg_modules.structure.edge_price import EdgePrice
from pyg_modules.structure.edge_scores import SCORES
from pyg_modules.structure.growth import GROWTHS
from pyg_modules.train import EdgeGradient, fit, seeded
from tests.strategies import generator, normal

EPOCHS = 8


def new_layer(graph=None, **settings):
    graph = graph or UnitGraph.complete(3, 12, 2)
    layer = SynchronousGraph(graph, activation="tanh", dtype=torch.float64, **settings)
    layer.reset_parameters(generator(1))
    return layer


def data():
    x = normal(40, 3, seed=1)
    return x, torch.stack([x[:, 0] * x[:, 1], x[:, 2]], dim=1)


def place(graph):
    return (graph.edge_index[0] * graph.num_units + graph.edge_index[1]).tolist()


def with_optimizer(layer, **settings):
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    gradient = EdgeGradient(layer, data(), loss=F.mse_loss)
    settings = {"optimizer": optimizer, "gradient": gradient, **settings}
    return optimizer, SparseSchedule(layer, EPOCHS, **settings)


def train(layer, optimizer, schedule, epochs=range(EPOCHS)):
    """The edges in every epoch; a plain loop."""
    x, y = data()
    graphs = []
    for epoch in epochs:
        schedule.step(epoch)
        graphs.append(layer.graph)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(layer(x), y).backward()
            optimizer.step()
    return graphs


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("grow", [*GROWTHS, None])
def test_the_number_of_edges_is_kept_exactly(score, grow):
    layer = new_layer()
    first = layer.graph.num_edges
    optimizer, schedule = with_optimizer(layer, num_edges=50, score=score, grow=grow)
    graphs = train(layer, optimizer, schedule)
    # Six of eight epochs.
    numbers = [50 + round((first - 50) * (1 - min(epoch / 6, 1)) ** 3) for epoch in range(EPOCHS)]
    assert [graph.num_edges for graph in graphs] == numbers
    assert numbers[0] == first
    assert numbers[6:] == [50, 50]
    assert graphs[6] is graphs[7]
    assert Reach.of(layer.graph).is_alive().all()


@pytest.mark.parametrize("grow", GROWTHS)
def test_a_share_that_falls_as_a_cosine_is_exchanged(grow):
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.5, generator=generator(0), repair=True)
    layer = new_layer(graph)
    number = graph.num_edges
    optimizer, schedule = with_optimizer(layer, num_edges=number, grow=grow, exchange=0.4)
    graphs = train(layer, optimizer, schedule)
    for epoch in range(1, EPOCHS):
        kept = set(place(graphs[epoch - 1])) & set(place(graphs[epoch]))
        share = 0.2 * (1 + cos(pi * min(epoch / 6, 1)))
        assert graphs[epoch].num_edges == number
        assert number - len(kept) == round(share * number)


@pytest.mark.parametrize("grow", GROWTHS)
def test_a_graph_may_grow_to_the_complete_one(grow):
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.3, generator=generator(0), repair=True)
    layer, whole = new_layer(graph), UnitGraph.complete(3, 12, 2)
    optimizer, schedule = with_optimizer(layer, num_edges=whole.num_edges, grow=grow)
    train(layer, optimizer, schedule)
    assert sorted(place(layer.graph)) == sorted(place(whole))


def test_edges_with_the_lowest_scores_go_but_for_those_that_a_unit_needs():
    x, y = data()
    for score in SCORES:
        layer = new_layer()
        initial = layer.weight.detach().clone()
        _, schedule = with_optimizer(layer, num_edges=100, score=score, grow=None)
        schedule.step(0)
        with torch.no_grad():
            layer.weight.copy_(normal(layer.graph.num_edges, seed=5))
        (gradient,) = EdgeGradient(layer, (x, y), loss=F.mse_loss)([layer.graph], seed=1)
        weight = layer.weight.detach()
        expected = {
            "magnitude": weight.abs(),
            "gradient": gradient.abs(),
            "weight_gradient": (weight * gradient).abs(),
            "movement": weight**2 - initial**2,
        }[score]
        before = layer.graph
        schedule.step(1)
        is_kept = torch.isin(torch.tensor(place(before)), torch.tensor(place(layer.graph)))
        # As in a complete graph, the best edge from an input and to an output is needed.
        needed = torch.zeros_like(is_kept)
        source, target = before.edge_index
        for unit in before.hidden:
            for mask in ((target == unit) & (source < 3), (source == unit) & (target >= 15)):
                edges = mask.nonzero()[:, 0]
                needed[edges[expected[edges].argmax()]] = True
        for unit in before.outputs:
            edges = (target == unit).nonzero()[:, 0]
            needed[edges[expected[edges].argmax()]] = True
        assert is_kept[needed].all(), score
        gone, staying = expected[~is_kept], expected[is_kept & ~needed]
        assert gone.numel() == before.num_edges - layer.graph.num_edges
        assert gone.max() < staying.min(), score


def test_growing_leaves_the_outputs_and_pruned_weights_are_kept():
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.3, generator=generator(0), repair=True)
    layer = new_layer(graph)
    x, _ = data()
    outputs = layer(x).detach()
    _, schedule = with_optimizer(layer, num_edges=graph.num_edges + 50, exchange=0.0)
    schedule.step(EPOCHS - 1)
    assert layer.graph.num_edges == graph.num_edges + 50
    torch.testing.assert_close(layer(x), outputs, rtol=0, atol=1e-12)
    assert layer.weight.count_nonzero() == graph.num_edges


@pytest.mark.parametrize("grow", GROWTHS)
def test_no_unit_receives_more_than_it_may(grow):
    graph = UnitGraph.fixed_in_degree(3, 12, 2, 4, generator=generator(0), repair=True)
    most = int(torch.bincount(graph.edge_index[1]).max())
    layer = new_layer(graph)
    optimizer, schedule = with_optimizer(
        layer, num_edges=graph.num_edges, grow=grow, max_in_degree=most
    )
    graphs = train(layer, optimizer, schedule)
    for one in graphs:
        assert int(torch.bincount(one.edge_index[1]).max()) <= most
        assert one.num_edges == graph.num_edges
    assert set(place(graphs[1])) != set(place(graph))


@pytest.mark.parametrize("grow", GROWTHS)
@pytest.mark.parametrize("is_cut", [False, True])
def test_edges_grow_within_modules(grow, is_cut):
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.5, generator=generator(0), repair=True)
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    layer = new_layer(graph)
    if is_cut:
        layer, labels = cut(layer, labels), None
    first = layer.graph
    settings = {"labels": labels, "num_edges": first.num_edges, "exchange": 0.5}
    optimizer, schedule = with_optimizer(layer, grow=grow, **settings)
    graphs = train(layer, optimizer, schedule)
    module = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    new = set(place(layer.graph)) - set(place(first))
    assert len(new) > 10
    for key in new:
        source, target = module[key // 17], module[key % 17]
        assert source == target or -1 in (source, target)
    assert {one.num_edges for one in graphs} == {first.num_edges}


@pytest.mark.parametrize("score", ["magnitude", "movement"])
def test_edges_between_modules_come_and_stay_at_a_price(score):
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.5, generator=generator(0), repair=True)
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)

    def num_across(layer):
        source, target = labels[layer.graph.edge_index]
        return int(((source != target) & (source >= 0) & (target >= 0)).sum())

    across = []
    for price in (1, 3, 1000):
        layer = new_layer(graph)
        settings = {"num_edges": 60, "exchange": 0.5, "score": score}
        optimizer, schedule = with_optimizer(layer, labels=labels, cross_price=price, **settings)
        train(layer, optimizer, schedule)
        assert layer.graph.num_edges == 60
        across.append(num_across(layer))
        if price == 1:
            free = new_layer(graph)
            train(free, *with_optimizer(free, **settings))
            assert layer.graph == free.graph
    assert across[0] > across[1] >= across[2]


def test_a_price_lowers_what_an_edge_between_modules_is_worth():
    price = EdgePrice(torch.tensor([-1, 0, 1, -1]), num_inputs=1, price=4.0)
    edges = torch.tensor([[0, 1, 1, 2, 3, 1], [1, 1, 2, 1, 2, 3]])
    for sign, factor in ((1, 0.25), (-1, 4.0)):
        # What a cut removes: edges from 1 to 2 and back, and feedback from the output.
        expected = sign * np.array([1, 1, factor, factor, factor, 1])
        np.testing.assert_array_equal(price.worth(sign * np.ones(6), edges), expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cross_price": 0.5}, r"cross_price >= 1 \(got 0.5"),
        ({"cross_price": -1}, r"finite cross_price >= 0"),
        ({"labels": None}, r"labels of a layer that is not cut.*got none.*Give labels="),
        ({"grow": "random"}, r"grow by gradient, for cross_price= \(got grow='random'"),
    ],
)
def test_a_price_that_would_do_nothing_is_refused(changed, message):
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    settings = {"num_edges": 60, "labels": labels, "cross_price": 2, **changed}
    with pytest.raises(ValueError, match=message):
        SparseSchedule(new_layer(), EPOCHS, **settings)


def test_modules_of_a_cut_layer_stay_apart_at_any_price():
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    layer = cut(new_layer(), labels)
    with pytest.raises(ValueError, match=r"not cut, for cross_price= \(got a layer that is"):
        SparseSchedule(layer, EPOCHS, num_edges=60, labels=labels, cross_price=2)


def test_the_optimizer_goes_on():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60)
    train(layer, optimizer, schedule, range(3))
    state = optimizer.state[layer.weight]
    before = dict(zip(place(layer.graph), state["exp_avg"].tolist(), strict=True))
    schedule.step(3)
    state = optimizer.state[layer.weight]
    assert int(state["step"]) == 9
    after = dict(zip(place(layer.graph), state["exp_avg"].tolist(), strict=True))
    assert len(before) > len(after)
    assert {key: before.get(key, 0.0) for key in after} == after


def test_movement_is_told_from_when_an_edge_came():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60, score="movement", grow="random")
    initial = dict(zip(place(layer.graph), layer.weight.tolist(), strict=True))
    graphs = train(layer, optimizer, schedule, range(5))
    stayed = set(place(graphs[0])).intersection(*map(place, graphs[1:]))
    state = schedule.state_dict()
    assert torch.equal(state["edge_index"], layer.graph.edge_index)
    known = dict(zip(place(layer.graph), state["first_weight"].tolist(), strict=True))
    assert place(layer.graph) == place(graphs[4])
    came = set(place(graphs[4])) - set(place(graphs[3]))
    assert came
    assert all(known[key] == initial[key] for key in stayed)
    assert all(known[key] == 0 for key in came & set(known) if known[key] != initial.get(key))


def test_a_training_goes_on_from_its_state():
    def run(layer, epochs, state=None):
        optimizer, schedule = with_optimizer(layer, num_edges=60, score="movement")
        if state is not None:
            schedule.load_state_dict(state[0])
            layer.load_state_dict(state[1])
            optimizer.load_state_dict(state[2])
        train(layer, optimizer, schedule, epochs)
        return copy.deepcopy((schedule.state_dict(), layer.state_dict(), optimizer.state_dict()))

    layer, resumed = new_layer(), new_layer()
    run(layer, range(EPOCHS))
    half = run(new_layer(), range(4))
    run(resumed, range(4, EPOCHS), half)
    assert resumed.graph == layer.graph
    assert torch.equal(resumed.weight, layer.weight)


def test_a_second_step_of_an_epoch_changes_nothing():
    layer = new_layer()
    _, schedule = with_optimizer(layer, num_edges=60)
    for epoch in range(3):
        schedule.step(epoch)
        graph, history = layer.graph, list(schedule.history)
        schedule.step(epoch)
        assert layer.graph is graph
        assert schedule.history == history
    schedule.step(0)
    assert [record.epoch for record in schedule.history] == [0]


@pytest.mark.parametrize(
    "broken",
    [
        {"first": torch.full((2, 3), 99)},
        {"edge_index": "none"},
        {"history": [(1,)]},
        {"history": [("one",) * 6]},
        {"epoch": "x"},
        {"since": torch.zeros(3).long()},
        {"first_weight": [0.0]},
        {"units": [13, 4, 2]},
    ],
)
def test_a_state_that_is_broken_leaves_the_layer_and_the_schedule_as_they_were(broken):
    layer = new_layer()
    _, schedule = with_optimizer(layer, num_edges=60)
    state = schedule.state_dict()
    schedule.step(0)
    schedule.step(3)
    graph, history = layer.graph, list(schedule.history)
    with pytest.raises((TypeError, ValueError)):
        schedule.load_state_dict({**state, **broken})
    assert layer.graph is graph
    assert schedule.history == history
    schedule.load_state_dict(state)
    assert layer.graph == schedule.first_graph != graph


def test_the_history_says_what_became_of_the_edges():
    layer, resumed = new_layer(), new_layer()
    first_graph = layer.graph
    first = set(place(first_graph))
    optimizer, schedule = with_optimizer(layer, num_edges=60, exchange=0.9)
    graphs = [set(place(graph)) for graph in train(layer, optimizer, schedule)]
    assert schedule.first_graph is first_graph
    stayed = first
    for number, (record, before, graph) in enumerate(
        zip(schedule.history, [first, *graphs], graphs, strict=False)
    ):
        stayed = stayed & graph
        left = (graph - before).intersection(*graphs[number:])
        expected = [graph, stayed, graph - before, before - graph, left]
        assert record == (number, *map(len, expected))
    # Some came back, and have not been there all along; some came, and went.
    assert len(stayed) < len(graphs[-1] & first)
    assert any(record.num_left < record.num_grown for record in schedule.history)
    last = schedule.history[-1]
    assert last.num_edges == last.num_stayed + sum(one.num_left for one in schedule.history)
    other = with_optimizer(resumed, num_edges=60, exchange=0.9)[1]
    other.load_state_dict(copy.deepcopy(schedule.state_dict()))
    assert other.history == schedule.history
    assert other.first_graph == first_graph
    # Edges that went and came by other hands have not stayed.
    missing = min(first - graphs[-1])
    came = torch.tensor([[missing // 17], [missing % 17]])
    edges = torch.cat([layer.graph.edge_index[:, 1:], came], dim=1)
    rewire(layer, UnitGraph(edges, 17, 3, 2), optimizer=optimizer)
    number = len(stayed & set(place(layer.graph)))
    schedule.grow = None
    schedule.step(EPOCHS)
    assert schedule.history[-1] == (EPOCHS, 60, number, 1, 1, 1)


def test_what_it_knows_when_it_is_kept_is_of_the_edges_that_the_layer_has():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60, grow=None)
    train(layer, optimizer, schedule, range(3))
    rewire(layer, layer.graph.with_edges(layer.graph.edge_index.flip(1)), optimizer=optimizer)
    state = schedule.state_dict()
    assert torch.equal(state["edge_index"], layer.graph.edge_index)
    first = dict(zip(place(schedule.first_graph), new_layer().weight.tolist(), strict=True))
    assert state["first_weight"].tolist() == [first[key] for key in place(layer.graph)]
    assert state["since"].tolist() == [-1] * layer.graph.num_edges


def test_another_training_begins_with_the_edges_that_are_there():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60, grow=None)
    train(layer, optimizer, schedule)
    assert str(schedule) == "epoch 8 of 8: 60 edges, from 204 to 60"
    graphs = train(layer, optimizer, schedule)
    assert schedule.history == [(epoch, 60, 60, 0, 0, 0) for epoch in range(EPOCHS)]
    assert all(graph is graphs[0] for graph in graphs)
    assert str(schedule) == "epoch 8 of 8: 60 edges, from 60 to 60"


def test_fit_gives_it_the_optimizer_and_gradients():
    layer = new_layer()
    model = torch.nn.Sequential(torch.nn.Linear(3, 3, dtype=torch.float64), layer)
    schedule = SparseSchedule(layer, 10, num_edges=60)
    steps = []

    def on_epoch(*_):
        steps.append(int(schedule.optimizer.state[layer.weight]["step"]))

    settings = {"seed": 0, "loss": F.mse_loss, "schedule": schedule}
    history = fit(model, data(), epochs=10, on_epoch=on_epoch, **settings)
    assert layer.graph.num_edges == 60
    assert {record.phase for record in history} == {"free"}
    assert history[-1].losses["task"] < history[0].losses["task"]
    assert steps == list(range(1, 11))
    # Nothing of the training holds the layer, which can be rewired and trained again.
    rewire(layer, layer.graph)
    fit(model, data(), epochs=10, **settings)
    schedule.optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match=r"without an optimizer \(got one with its SGD\)"):
        fit(model, data(), epochs=10, **settings)


def test_rewired_weights_are_clipped():
    layer = new_layer()
    schedule = SparseSchedule(layer, 2, num_edges=60, grow=None)

    def loss(outputs, targets):
        return 1e6 * F.mse_loss(outputs, targets)

    fit(layer, data(), epochs=2, seed=0, loss=loss, schedule=schedule)
    assert layer.graph.num_edges == 60
    gradients = [parameter.grad for parameter in layer.parameters()]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(1)


# The regularizer makes units useless, and then their edges go.
@pytest.mark.filterwarnings("ignore:. of 18 units take no part any more")
def test_edges_and_modules_are_learned_at_once():
    problem = planted_problem(2, "linear-threshold", num_train=1000, num_test=500, seed=0)
    with seeded(0):
        graph = UnitGraph.complete(problem.num_inputs, 16, problem.num_outputs)
        layer = SynchronousGraph(graph, Unrolled(steps=3))
        regularizer = PartitionRegularizer(layer, 2, scope="all")
    partition = PartitionSchedule(regularizer, epochs=40)
    sparse = SparseSchedule(layer, 40, num_edges=100)
    settings = {"one_cycle": False, "weight_decay": 0.3, "learning_rate": 0.01}
    history = fit(
        layer,
        problem,
        epochs=40,
        seed=0,
        loss=problem.loss,
        schedule=[sparse, partition],
        **settings,
    )
    assert layer.graph.num_edges == 100
    assert history[0].phase == "free"
    assert history[-1].phase == "full"
    assert agreement(partition.labels(), problem.owners(16))["ari"] == 1.0
    # The regularizer looks at the edges as they are.
    assignment = regularizer.logits.detach().softmax(dim=1)
    expected = ncut_loss(layer.graph.edge_index, layer.weight.detach(), assignment)
    torch.testing.assert_close(regularizer.losses()["ncut"].detach(), expected)
    modular = cut(layer, partition.labels())
    with torch.no_grad():
        assert problem.score(modular(problem.test_x), problem.test_y) > 0.95


def test_a_verdict_is_that_of_the_edges_as_they_are():
    def worth(labels, trained=True):
        return 1.0 if labels is None else 2.0 + layer.graph.num_edges + trained

    worth.chance, worth.influence = lambda: 10.0, lambda: None
    layer = new_layer()
    partition = PartitionSchedule(PartitionRegularizer(layer, 2), epochs=8, probe=worth)
    partition.step(0)
    with torch.no_grad():
        layer.weight[:9] = 0.0
    before = partition.verdict()
    assert partition.verdict() is before
    # An edge with weight 0 in the place of another one: the weights are the same numbers.
    first, others = layer.graph.edge_index[:, :1], layer.graph.edge_index[:, 2:]
    second = layer.graph.edge_index[:, 1:2]
    verdicts = []
    for edge in (first, second):
        rewire(layer, UnitGraph(torch.cat([edge, others], dim=1), 17, 3, 2))
        verdicts.append(partition.verdict())
    assert verdicts[0] is not verdicts[1]


def test_gradients_of_blocks_are_gradients_of_all(monkeypatch):
    graphs = []
    for size in (1, 2**18):
        monkeypatch.setattr(gradient_growth, "_BLOCK", size)
        graph = UnitGraph.erdos_renyi(3, 12, 2, 0.15, generator=generator(0), repair=True)
        layer = new_layer(graph, solver=Unrolled(8))
        _, schedule = with_optimizer(layer, num_edges=graph.num_edges)
        schedule.step(1)
        graphs.append(layer.graph)
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"epochs": 1}, ValueError, r"epochs >= 2 \(got 1\)"),
        ({"num_edges": 25}, ValueError, r"num_edges >= 26, as many as it may take.*\(got 25\)"),
        ({"num_edges": 205}, ValueError, r"num_edges <= 204, the most.*\(got 205\)"),
        ({"num_edges": 0.5}, TypeError, r"num_edges to be an int \(got float"),
        ({"score": "size"}, ValueError, r"score to be one of 'magnitude', .*\(got 'size'\)"),
        (
            {"grow": "rigl"},
            ValueError,
            r"grow to be one of 'gradient', 'random', 'local' \(got 'rigl'\)",
        ),
        ({"exchange": 1.1}, ValueError, r"exchange in \[0, 1\] \(got 1.1\)"),
        ({"max_in_degree": 14}, ValueError, r"at most max_in_degree = 14 edges.*with 15\)"),
        ({"labels": torch.zeros(3).long()}, ValueError, r"labels of shape \[17\]"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
    ],
)
def test_what_cannot_be_is_refused(settings, error, match):
    layer = new_layer()
    with pytest.raises(error, match=match):
        SparseSchedule(layer, **{"epochs": 8, "num_edges": 60, **settings})


def test_growing_needs_a_way_and_modules_limit_it():
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.3, generator=generator(0), repair=True)
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    # Of 204 edges, 72 join the two modules.
    SparseSchedule(new_layer(graph), 8, num_edges=132, labels=labels)
    with pytest.raises(ValueError, match=r"num_edges <= 132, the most that the layer may have"):
        SparseSchedule(new_layer(graph), 8, num_edges=133, labels=labels)
    with pytest.raises(ValueError, match=rf"num_edges <= {graph.num_edges}, the most"):
        SparseSchedule(new_layer(graph), 8, num_edges=132, grow=None)
    # Edges between modules that are there may stay.
    few = UnitGraph(torch.tensor([[0, 1, 1, 2, 3], [3, 2, 3, 4, 5]]), 6, 2, 2)
    parts = torch.tensor([0, 1] * 3)
    with pytest.raises(ValueError, match=r"num_edges <= 5, the most that .*\(got 6\)"):
        SparseSchedule(new_layer(few, solver=Unrolled(4)), 8, num_edges=6, labels=parts)
    layer = new_layer(few, solver=Unrolled(4))
    schedule = SparseSchedule(layer, 8, num_edges=5, labels=parts, grow="random")
    for epoch in range(8):
        schedule.step(epoch)
        assert layer.graph.num_edges == 5
    with pytest.raises(ValueError, match=r"a layer with edges \(got none\)"):
        SparseSchedule(new_layer(UnitGraph(torch.empty(2, 0).long(), 3, 1, 1)), 8, num_edges=1)


def test_a_graph_of_fewer_edges_than_units_may_keep_them():
    graph = UnitGraph.erdos_renyi(8, 200, 4, 0.005, repair=True, generator=generator(0))
    assert graph.num_edges < 400
    layer = new_layer(graph, solver=Unrolled(30))
    schedule = SparseSchedule(layer, 8, num_edges=graph.num_edges, grow="random", exchange=0.5)
    for epoch in range(8):
        schedule.step(epoch)
        assert layer.graph.num_edges == graph.num_edges
        assert Reach.of(layer.graph).is_alive()[graph.num_inputs :].all()
    assert layer.graph != graph
    with pytest.raises(ValueError, match=rf"num_edges >= {graph.num_edges}, as many"):
        SparseSchedule(layer, 8, num_edges=graph.num_edges - 1)


def test_the_modules_of_a_cut_layer_stay_apart_whatever_labels_say():
    own = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    layer = cut(new_layer(), own)
    finer = own.clone()
    finer[3] = 2
    for labels in (own, finer):
        SparseSchedule(layer, 8, num_edges=60, labels=labels)
    coarser, shifted = own.clamp(max=0), own.roll(1)
    for labels in (coarser, shifted, torch.where(own == 1, -1, own)):
        with pytest.raises(ValueError, match="labels whose modules are those of the layer, which"):
            SparseSchedule(layer, 8, num_edges=60, labels=labels)


def test_a_training_begins_with_its_first_step():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60, grow=None, score="movement")
    with torch.no_grad():  # As of weights that are loaded.
        layer.weight.copy_(normal(layer.graph.num_edges, seed=5))
    rewire(layer, layer.graph.with_edges(layer.graph.edge_index[:, 20:]), optimizer=optimizer)
    first, weight = layer.graph, layer.weight.detach().clone()
    schedule.step(0)
    assert layer.graph is first is schedule.first_graph
    assert torch.equal(schedule.state_dict()["first_weight"], weight)
    assert schedule.history == [(0, first.num_edges, first.num_edges, 0, 0, 0)]


def test_new_edges_are_of_the_kinds_of_the_first_graph_in_a_resumed_training():
    def new_schedule(layer):
        return SparseSchedule(layer, 20, num_edges=24, grow="random", exchange=0.5, seed=1)

    layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
    schedule = new_schedule(layer)
    for epoch in range(12):
        schedule.step(epoch)
    source, target = layer.graph.edge_index
    # None of them is a loop by now, as a resumed training finds it.
    without = layer.graph.edge_index[:, source != target]
    other = SynchronousGraph(layer.graph.with_edges(without))
    resumed = new_schedule(other)
    resumed.load_state_dict(copy.deepcopy(schedule.state_dict()))
    other.load_state_dict(layer.state_dict())
    for epoch in range(12, 20):
        schedule.step(epoch)
        resumed.step(epoch)
        assert other.graph == layer.graph
    assert resumed.history == schedule.history


def test_a_layer_may_be_compiled_when_its_edges_have_come_to_rest():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60)
    train(layer, optimizer, schedule, range(7))
    layer.compile(backend="eager")
    schedule.step(7)
    assert schedule.history[-1].num_edges == 60


@pytest.mark.parametrize("kept", [-1, 3])
def test_gradients_of_missing_edges_that_say_nothing_are_refused(kept):
    graph = UnitGraph.erdos_renyi(3, 12, 2, 0.3, generator=generator(0), repair=True)
    layer = new_layer(graph)

    def probe(graphs, _):
        for one in graphs:
            gradient = torch.ones(one.num_edges)
            gradient[graph.num_edges :] = torch.nan
            yield gradient if kept < 0 else gradient[:kept]

    schedule = SparseSchedule(layer, 8, num_edges=graph.num_edges, gradient=probe)
    schedule.step(0)
    message = "finite gradients of missing edges" if kept < 0 else r"\(got the shape \[3\]\)"
    with pytest.raises(ValueError, match=message):
        schedule.step(1)
    assert layer.graph is graph
    assert len(schedule.history) == 1


def test_a_model_may_hold_its_optimizer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = new_layer()
            self.optimizer = torch.optim.Adam(self.parameters())

        def forward(self, x):
            return self.layer(x)

    model = Model()
    gradient = EdgeGradient(model, data(), loss=F.mse_loss)
    settings = {"optimizer": model.optimizer, "gradient": gradient}
    schedule = SparseSchedule(model.layer, 8, num_edges=60, **settings)
    for epoch in range(8):
        schedule.step(epoch)
    assert model.layer.graph.num_edges == 60
    assert model.optimizer.param_groups[0]["params"][-2] is model.layer.weight


def test_a_step_that_cannot_be_leaves_the_layer_as_it_was():
    layer = new_layer()
    graph, weight = layer.graph, layer.weight
    optimizer, schedule = with_optimizer(layer, num_edges=60, optimizer=None)
    with pytest.raises(ValueError, match="Expected the optimizer of the layer"):
        schedule.step(0)
    schedule.optimizer, schedule.gradient = optimizer, None
    with pytest.raises(ValueError, match="Expected something that knows gradients, for score="):
        schedule.step(0)
    _, schedule = with_optimizer(layer, num_edges=60, optimizer=optimizer)
    with torch.no_grad():
        layer.weight[0] = torch.nan
    with pytest.raises(ValueError, match="Expected finite weights and gradients"):
        schedule.step(1)
    layer.compile(backend="eager")
    with pytest.raises(ValueError, match="Expected a layer that is not compiled"):
        schedule.step(0)
    assert layer.graph is graph
    assert layer.weight is weight


def test_edges_that_are_off_are_refused_while_others_come_and_go():
    layer = new_layer()
    labels = torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2)
    _, schedule = with_optimizer(layer, num_edges=layer.graph.num_edges - 20)
    schedule.step(0)
    prune_cross_edges(layer, labels)
    before = layer.weight.detach().clone()
    number = layer.graph.num_edges - int(layer.edge_mask.sum())
    with pytest.raises(ValueError, match=rf"all on \(got {number} that prune_cross_edges has"):
        schedule.step(1)
    assert torch.equal(layer.weight, before)
    for epoch in (EPOCHS - 2, EPOCHS - 1):  # All should be done by then, and is not.
        with pytest.raises(ValueError, match="all on"):
            schedule.step(epoch)
    _, schedule = with_optimizer(cut(layer, labels), num_edges=60)
    schedule.step(0)


def test_once_all_is_done_edges_may_be_off():
    layer = new_layer()
    _, schedule = with_optimizer(layer, num_edges=layer.graph.num_edges - 20)
    for epoch in range(EPOCHS - 1):
        schedule.step(epoch)
    graph = layer.graph
    prune_cross_edges(layer, torch.tensor([-1] * 3 + [0, 1] * 6 + [-1] * 2))
    schedule.step(EPOCHS - 1)
    assert layer.graph == graph


def test_fit_refuses_another_length_another_layer_and_an_early_end():
    layer = new_layer()
    schedule = SparseSchedule(layer, 8, num_edges=60)
    settings = {"seed": 0, "loss": F.mse_loss, "schedule": schedule}
    with pytest.raises(ValueError, match="Expected epochs=8, those of the schedule"):
        fit(layer, data(), epochs=7, **settings)
    with pytest.raises(ValueError, match="Expected a SparseSchedule of a layer of the model"):
        fit(new_layer(), data(), epochs=8, **settings)
    with pytest.raises(ValueError, match="Expected no schedule with patience"):
        fit(layer, data(), epochs=8, validation_data=data(), patience=2, **settings)


def test_nothing_of_a_layer_with_dead_units_is_lost():
    """Units that nothing reaches have no edges to protect, and the number is kept all the same."""
    edge_index = torch.tensor([[0, 3, 4, 4, 5, 1], [3, 15, 4, 5, 4, 3]])
    layer = new_layer(UnitGraph(edge_index, 17, 3, 2))
    _, schedule = with_optimizer(layer, num_edges=26, grow="random")
    for epoch in range(EPOCHS):
        schedule.step(epoch)
    assert layer.graph.num_edges == 26
    assert np.isfinite(Reach.of(layer.graph).from_inputs[3])


def test_a_layer_keeps_its_weights_where_the_edges_are_those_it_has():
    layer = new_layer()
    optimizer, schedule = with_optimizer(layer, num_edges=60)
    weight, state = layer.weight, schedule.state_dict()
    schedule.optimizer = None  # It could not be rewired.
    schedule.load_state_dict(state)
    assert layer.weight is weight
    assert optimizer.param_groups[0]["params"][0] is weight


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_layer_is_moved_after_its_schedule_was_made():
    layer = new_layer()
    schedule = SparseSchedule(layer, 8, num_edges=60, score="movement", grow="random")
    layer.to("cuda")
    for epoch in range(8):
        schedule.step(epoch)
    assert layer.graph.num_edges == 60
    assert layer.weight.is_cuda
