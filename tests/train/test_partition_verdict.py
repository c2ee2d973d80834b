import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, partition_units
from pyg_modules.datasets import planted_problem
from pyg_modules.partition import normalized_cut
from pyg_modules.partition.judge import shuffled
from pyg_modules.train import fit, partition_verdict
from tests.strategies import generator


@pytest.fixture(scope="module")
def learned():
    """A network that knows two independent tasks, and its modules."""
    problem = planted_problem(2, "product", num_train=1000, seed=3)
    layer = SynchronousGraph(
        UnitGraph.complete(problem.num_inputs, 16, 2), generator=torch.Generator().manual_seed(3)
    )
    fit(layer, problem, epochs=60, loss=problem.loss, weight_decay=0.3, learning_rate=1e-2, seed=3)
    labels = partition_units(layer, 2, scope="all", tolerance=0.1)
    return layer, labels, problem


def verdict_of(learned, labels=None, **kwargs):
    layer, found, problem = learned
    x, y = problem.train_x, problem.train_y
    settings = {"loss": problem.loss, "seed": 1} | kwargs
    return partition_verdict(layer, found if labels is None else labels, x, y, **settings)


def test_right_modules_are_good_and_wrong_ones_are_not(learned):
    layer, labels, _ = learned
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    verdict = verdict_of(learned)
    assert verdict.word == "good"
    assert verdict.normalized_cut < verdict.null_normalized_cut
    assert verdict.cut >= verdict.probed
    assert len(verdict.random) == 3
    assert verdict.num_dead == 0
    one_class = torch.zeros(len(labels), dtype=torch.long).numpy()
    wrong = verdict_of(learned, shuffled(labels, one_class, seed=5))
    assert wrong.word == "poor"
    assert wrong.probed > verdict.probed
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_the_same_seed_gives_the_same_verdict(learned):
    assert verdict_of(learned).figures() == verdict_of(learned).figures()
    assert verdict_of(learned).random != verdict_of(learned, seed=2).random


def test_hidden_units_alone_may_be_the_ones_that_are_partitioned(learned):
    labels = partition_units(learned[0], 2)
    assert verdict_of(learned, labels).num_dead == 0


def test_modules_of_inputs_and_hidden_units_are_judged_by_what_they_could_do(learned):
    """The sum of both tasks is one output; no weight of a module of its own was trained yet."""
    _, _, problem = learned
    x, y = problem.train_x, problem.train_y.sum(dim=1, keepdim=True)
    layer = SynchronousGraph(
        UnitGraph.complete(problem.num_inputs, 16, 1), generator=torch.Generator().manual_seed(3)
    )
    fit(layer, (x, y), epochs=60, loss=problem.loss, weight_decay=0.3, learning_rate=1e-2, seed=3)
    owners = problem.input_owner.clone()
    owners[owners < 0] = torch.arange(int((owners < 0).sum())) % 2
    labels = torch.cat([owners, torch.arange(16) % 2, torch.tensor([-1])])
    right = partition_verdict(layer, labels, x, y, loss=problem.loss)
    assert right.word == "good"
    assert right.separated < 0.1 * right.probed
    assert "is a sum of what they can say" in str(right)
    assert f"{right.separated:.4g} if modules saw none of each other's inputs" in str(right)
    every_second = torch.cat([torch.arange(len(owners)) % 2, labels[len(owners) :]])
    wrong = partition_verdict(layer, every_second, x, y, loss=problem.loss)
    assert wrong.word == "poor"
    assert "the network loses much" in str(wrong)
    # All that says anything in one module: the other one is no term of a sum.
    alone = torch.cat([(problem.input_owner < 0).long(), labels[len(owners) :]])
    assert partition_verdict(layer, alone, x, y, loss=problem.loss).separated is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda labels, x, y: (labels[:-1], x, y), ValueError, r"one per unit"),
        (lambda labels, x, y: (labels * 0, x, y), ValueError, "at least two modules"),
        (
            lambda labels, x, y: (labels.index_fill(0, torch.tensor([1]), -1), x, y),
            ValueError,
            "got 1 shared of 12 inputs, 0 of 2 outputs",
        ),
        (lambda labels, x, y: (labels.float(), x, y), TypeError, "LongTensor"),
        (lambda labels, x, y: (labels, x[:, :-1], y), ValueError, "Expected"),
        (lambda labels, x, y: (labels, x, y[:-1]), ValueError, "Expected"),
        (
            lambda labels, x, y: (labels, x * float("nan"), y),
            ValueError,
            "finite loss of the uncut",
        ),
    ],
)
def test_what_does_not_fit_the_layer_is_refused(learned, change, error, message):
    layer, labels, problem = learned
    labels, x, y = change(labels, problem.train_x, problem.train_y)
    with pytest.raises(error, match=message):
        partition_verdict(layer, labels, x, y, loss=problem.loss)


def test_of_several_layers_of_a_model_one_is_judged_by_name():
    first, second = (
        SynchronousGraph(UnitGraph.complete(4, 8, num_outputs), Unrolled(2))
        for num_outputs in (4, 2)
    )
    model = nn.Sequential(first, second)
    x, y = torch.randn(32, 4, generator=generator(0)), torch.arange(32) % 2
    for layer in (first, second):
        labels = partition_units(layer, 2)
        found = partition_verdict(model, labels, x, y, layer=layer, steps=2)
        expected = normalized_cut(layer.graph.edge_index, layer.edge_weight(), labels)
        assert found.normalized_cut == expected
        assert found.uncut == pytest.approx(float(F.cross_entropy(model(x).detach(), y)), rel=1e-5)
    with pytest.raises(ValueError, match=r"with 2 of them.*layer=\.\.\."):
        partition_verdict(model, labels, x, y)
