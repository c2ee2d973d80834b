import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, partition_units
from pyg_modules.partition import Verdict, agreement, module_sizes
from pyg_modules.partition.judge import at_random, judge, shuffled
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.units import Units
from tests.strategies import KnowsItsTask, generator, verdict_of

LABELS = torch.tensor([-1, 0, 0, 1, 1, 1, -1])


@pytest.mark.parametrize(
    ("uncut", "probed", "random", "word"),
    [
        (0.1, 0.18, 1.0, "good"),
        (0.1, 0.05, 1.0, "good"),  # Less than uncut, where the penalty was on.
        (0.1, 0.2, 1.0, "fair"),
        (0.1, 0.3, 1.0, "poor"),
        (0.1, 1.2, 1.0, "poor"),
        (0.16, 0.16, 1.0, "unlearned"),
        (0.14, 0.14, 1.0, "good"),
        (0.5, 0.5, 0.5, "unlearned"),
        (0.5, 0.5, 0.4, "unlearned"),
        (0.1, 0.1, 0.27, "indifferent"),
        (0.1, 0.3, 0.1, "indifferent"),
        (0.1, 0.1, 0.29, "good"),
        (0.0, 0.0, 1.0, "good"),
    ],
)
def test_the_word_is_that_of_the_losses(uncut, probed, random, word):
    verdict = verdict_of(LABELS, uncut, probed, random, chance=1.0)
    assert verdict.word == word


def test_what_is_lost_and_unlearned_are_shares():
    verdict = verdict_of(LABELS, uncut=0.2, probed=0.4, random=1.0, chance=1.6)
    assert verdict.lost == pytest.approx(0.25)
    assert verdict.unlearned == pytest.approx(0.125)


@given(*[st.floats(0, 1e3)] * 3)
def test_no_more_is_lost_than_at_random(uncut, probed, random):
    lost = verdict_of(LABELS, uncut, probed, random, chance=1e3).lost
    assert 0 <= lost <= 1
    if probed <= uncut:
        assert lost == 0
    elif random <= probed:
        assert lost == 1 or probed - uncut < 1e-9
    elif random - uncut > 1e-9:
        assert lost == pytest.approx((probed - uncut) / (random - uncut))


@pytest.mark.parametrize("losses", [(0.0, 0.0, 0.0, 0.0), (1e-30, 0.0, 0.0, 0.0)])
def test_losses_of_0_are_no_division_by_0(losses):
    verdict = verdict_of(LABELS, *losses)
    assert abs(verdict.lost) < 1e-9
    assert verdict.unlearned < 1e-9


def test_it_says_what_it_means_with_its_figures():
    assert str(verdict_of(LABELS, 0.1, 0.15, 1.0, 2.0)) == (
        "The modules are good: cut into them, the network keeps what it has learned (loss 0.1"
        " uncut, 0.15 cut, 0.15 cut and trained for a while, 1 if cut at random, 2 by chance;"
        " normalized cut 0.1, 0.5 among shuffled weights)."
    )
    several = Verdict(LABELS, 0.1, 0.8, 0.15, (0.9, 1.0, 1.1), 2.0, 0.1, 0.5, num_dead=3)
    assert "0.8 cut, 0.15 cut and trained for a while, 1 +- 0.1 if" in str(several)
    assert str(several).endswith("weights). 3 units take no part once it is cut.")
    assert str(verdict_of(LABELS, 0.5, 0.5, 0.6, 1.0)).startswith(
        "Nothing can be said of the modules"
    )
    assert str(verdict_of(LABELS, 0.1, 0.9, 1.0, 1.0)).startswith("The modules are poor")


def test_it_comes_back_from_its_state():
    verdict = verdict_of(LABELS, 0.1, 0.2, 1.0, 1.5)
    again = Verdict(**verdict.state_dict())
    assert torch.equal(again.labels, LABELS)
    assert again.figures() == verdict.figures()
    assert again.random == (1.0,)


def test_shuffled_modules_have_the_same_sizes_and_shared_units():
    labels = torch.arange(60) % 3
    labels[:10] = -1
    one = numpy.zeros(50, dtype=int)
    found = shuffled(labels, one, seed=4)
    assert torch.equal(found < 0, labels < 0)
    assert module_sizes(found) == module_sizes(labels)
    assert not torch.equal(found, labels)
    assert torch.equal(found, shuffled(labels, one, seed=4))
    assert not torch.equal(found, shuffled(labels, one, seed=5))


def test_modules_are_shuffled_class_by_class():
    labels = torch.tensor([-1, 0, 0, 1, 1, 0, 2, 2, -1])
    classes = numpy.array([0, 0, 0, 1, 1, 1, 1])
    for seed in range(10):
        found = shuffled(labels, classes, seed)
        assert sorted(found[1:4].tolist()) == [0, 0, 1]
        assert sorted(found[4:8].tolist()) == [0, 1, 2, 2]


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
def test_modules_at_random_live_as_those_that_they_are_compared_with(scope):
    # Of units with three sources each, many of a module chosen at random are dead.
    graph = UnitGraph.fixed_in_degree(8, 24, 2, 3, repair=True, generator=generator(0))
    layer = SynchronousGraph(graph, Unrolled(8), generator=generator(1))
    units = Units(layer, scope=scope)
    labels = partition_units(layer, 2, scope=scope)
    least = Liveliness.of(graph, labels, 8).num_dead
    num_worse = 0
    for seed in range(10):
        mixed = at_random(units, labels, seed)
        assert module_sizes(mixed) == module_sizes(labels)
        assert not torch.equal(mixed, labels)
        assert Liveliness.of(graph, mixed, 8).num_dead <= least + 3
        raw = shuffled(labels, units.classes(2), seed)
        num_worse += Liveliness.of(graph, raw, 8).num_dead > least + 3
    assert num_worse > 5


def test_shuffled_weights_may_have_no_modules_that_live(monkeypatch):
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 2), generator=generator(0))
    units, labels = Units(layer, scope="hidden"), partition_units(layer, 2)
    expected = judge(units, labels, KnowsItsTask())
    find = find_labels

    def none_lives(*arguments, must_live=True, **options):
        if must_live:
            raise ValueError("got none")
        return find(*arguments, must_live=False, **options)

    monkeypatch.setattr("pyg_modules.partition.judge.find_labels", none_lives)
    found = judge(units, labels, KnowsItsTask())
    assert found.null_normalized_cut == expected.null_normalized_cut


@pytest.mark.parametrize("seed", range(24))
def test_cuts_at_random_are_other_modules_while_there_are_some(seed):
    # Each level has two units: there are two partitions, or one where units have to live.
    layer = SynchronousGraph(UnitGraph.layered([4, 2, 2, 2]), Unrolled(3))
    labels = torch.tensor([-1] * 4 + [0, 1, 0, 1] + [-1] * 2)
    mixed = at_random(Units(layer), labels, seed)
    assert agreement(mixed, labels)["ari"] < 1
    again = at_random(Units(layer), labels, seed, known=[mixed])  # There is no third.
    assert agreement(again, mixed)["ari"] == 1
    apart = layer.graph.edge_index
    apart = apart[:, (apart[0] < 4) | (labels[apart[0]] == labels[apart[1]]) | (apart[1] >= 8)]
    only = SynchronousGraph(UnitGraph(apart, 10, 4, 2), Unrolled(3))
    assert agreement(at_random(Units(only), labels, seed), labels)["ari"] == 1
