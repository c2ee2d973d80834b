from itertools import permutations, product

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition import balanced_labels
from pyg_modules.partition.rounding import _in_turn
from pyg_modules.partition.search.size_bounds import SizeBounds
from tests.strategies import generator, normal, seeds


@given(st.integers(2, 20), st.integers(2, 6), seeds)
def test_sizes_differ_by_one_unit_at_most(num_units, num_modules, seed):
    num_modules = min(num_modules, num_units)
    assignment = torch.rand(num_units, num_modules, generator=generator(seed))
    sizes = balanced_labels(assignment).bincount(minlength=num_modules)
    assert sizes.sum() == num_units
    assert sizes.max() - sizes.min() <= 1


@given(seeds)
def test_no_other_balanced_labels_agree_better(seed):
    assignment = torch.rand(6, 3, generator=generator(seed)).double()
    labels = balanced_labels(assignment)
    gain = assignment[torch.arange(6), labels].sum()
    best = max(
        assignment[torch.arange(6), torch.tensor(other)].sum()
        for other in permutations([0, 0, 1, 1, 2, 2])
    )
    assert gain.item() == pytest.approx(best.item(), abs=1e-12)


@given(seeds, st.sampled_from([1e-6, 1.0, 1e6]))
def test_no_other_labels_agree_better_whatever_the_scale_and_the_sign_of_the_scores(seed, scale):
    scores = scale * normal(6, 3, seed=seed)
    labels = balanced_labels(scores)
    best = max(
        scores[torch.arange(6), torch.tensor(other)].sum()
        for other in set(permutations([0, 0, 1, 1, 2, 2]))
    )
    gain = scores[torch.arange(6), labels].sum()
    assert gain.item() == pytest.approx(best.item(), abs=1e-9 * scale)


def test_units_without_a_preference_are_spread():
    assert balanced_labels(torch.full((7, 3), 1 / 3)).bincount().sort().values.tolist() == [2, 2, 3]


def test_a_unit_per_module_is_the_best_permutation():
    scores = normal(5, 5, seed=3)
    labels = balanced_labels(scores)
    assert labels.sort().values.tolist() == list(range(5))
    best = max(
        scores[torch.arange(5), torch.tensor(other)].sum() for other in permutations(range(5))
    )
    assert scores[torch.arange(5), labels].sum().item() == pytest.approx(best.item())


def test_a_balanced_assignment_is_kept():
    labels = torch.tensor([2, 0, 1, 1, 2, 0])
    assert torch.equal(balanced_labels(torch.nn.functional.one_hot(labels).float()), labels)


def test_a_single_module_is_refused():
    with pytest.raises(ValueError, match=r"num_modules >= 2 \(got 1\)"):
        balanced_labels(torch.ones(4, 1))


def test_capacities_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"add up to 4, .*\(got 5: \[2, 3\]\)"):
        balanced_labels(torch.rand(4, 2), capacities=[2, 3])
    with pytest.raises(ValueError, match=r"one capacity per module, 2 \(got 1"):
        balanced_labels(torch.rand(4, 2), capacities=[4])
    with pytest.raises(ValueError, match=r"tolerance in \[0, 1\] \(got -0.5\)"):
        balanced_labels(torch.rand(4, 2), tolerance=-0.5)


def test_more_modules_than_units_are_refused():
    with pytest.raises(ValueError, match=r"num_modules from 2 to 2, .* \(got 3\)"):
        balanced_labels(torch.rand(2, 3))


def test_a_list_is_refused():
    with pytest.raises(TypeError, match=r"assignment to be a Tensor \(got list\)"):
        balanced_labels([[1.0, 0.0]])


def test_an_assignment_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"finite assignment.*diverged.*learning rate"):
        balanced_labels(torch.full((4, 2), float("nan")))


@given(seeds, st.sampled_from([0.0, 0.4]))
def test_no_other_labels_of_these_capacities_agree_better(seed, tolerance):
    assignment = torch.rand(6, 3, generator=generator(seed)).double()
    bounds = SizeBounds.of(6, 3, [1, 2, 3], tolerance)
    labels = balanced_labels(assignment, capacities=[1, 2, 3], tolerance=tolerance)

    def is_within(other):
        sizes = numpy.bincount(other, minlength=3)
        return (sizes >= bounds.smallest).all() and (sizes <= bounds.largest).all()

    assert is_within(labels.numpy())
    gain = assignment[torch.arange(6), labels].sum()
    best = max(
        assignment[torch.arange(6), torch.tensor(other)].sum()
        for other in product(range(3), repeat=6)
        if is_within(numpy.array(other))
    )
    assert gain.item() == pytest.approx(best.item(), abs=1e-9)


@given(st.integers(2, 40), st.integers(2, 6), st.floats(0, 0.5), seeds)
def test_choosing_in_turn_keeps_the_bounds(num_units, num_modules, tolerance, seed):
    num_modules = min(num_units, num_modules)
    bounds = SizeBounds.of(num_units, num_modules, tolerance=tolerance)
    # All want the first module.
    gain = torch.rand(num_units, num_modules, generator=generator(seed)).double().numpy()
    gain[:, 0] += 1
    sizes = numpy.bincount(
        _in_turn(gain, bounds.smallest[0], bounds.largest[0]), minlength=num_modules
    )
    assert (sizes >= bounds.smallest).all()
    assert (sizes <= bounds.largest).all()


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0, 1), seeds)
def test_choosing_in_turn_keeps_bounds_that_differ(capacities, tolerance, seed):
    bounds = SizeBounds.of(sum(capacities), len(capacities), capacities, tolerance)
    gain = normal(sum(capacities), len(capacities), seed=seed).numpy()
    sizes = numpy.bincount(
        _in_turn(gain, bounds.smallest[0], bounds.largest[0]), minlength=len(capacities)
    )
    assert (sizes >= bounds.smallest).all()
    assert (sizes <= bounds.largest).all()


def test_who_loses_most_by_a_second_choice_chooses_first():
    # All want module 0, which has room for two: units 1 and 2 would lose 0.8 and 0.7.
    gain = numpy.array([[0.6, 0.4], [0.9, 0.1], [0.85, 0.15], [0.55, 0.45]])
    two = numpy.array([2, 2])
    assert _in_turn(gain, two, two).tolist() == [1, 0, 0, 1]


def test_a_tolerance_leaves_more_units_their_first_choice():
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    assignment = torch.nn.functional.one_hot(labels).float()
    assert balanced_labels(assignment).bincount().tolist() == [5, 5]
    assert torch.equal(balanced_labels(assignment, tolerance=0.2), labels)


def test_many_units_keep_their_wishes_where_they_fit():
    # Too many for the exact method, of sizes that fit the capacities.
    labels = (torch.randperm(3000, generator=generator(0)) >= 1000).long()
    assignment = torch.nn.functional.one_hot(labels).float()
    assert torch.equal(balanced_labels(assignment, capacities=[1000, 2000]), labels)


def test_many_units_are_balanced_too():
    assignment = torch.rand(70_000, 4, generator=generator(0)).softmax(dim=-1)
    assert balanced_labels(assignment).bincount().tolist() == [17_500] * 4


def test_every_class_is_balanced_by_itself():
    # All want module 0; of each class two units get it, those that want it most.
    scores = torch.tensor([[4.0, 0], [3, 0], [2, 0], [1, 0], [9, 0], [8, 0], [7, 0], [6, 0]])
    classes = numpy.array([0, 0, 0, 0, 1, 1, 1, 1])
    labels = balanced_labels(scores, classes=classes)
    assert labels.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert balanced_labels(scores).tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


@given(st.integers(1, 3), st.sampled_from([0.0, 0.5]), seeds)
def test_no_other_labels_that_are_balanced_within_classes_agree_better(
    num_classes, tolerance, seed
):
    drawn = torch.randint(num_classes, (6,), generator=generator(seed)).numpy()
    classes = numpy.unique(drawn, return_inverse=True)[1]
    bounds = SizeBounds.of(6, 2, tolerance=tolerance, classes=classes)
    scores = normal(6, 2, seed=seed)

    def is_within(labels):
        sizes = numpy.zeros_like(bounds.smallest)
        numpy.add.at(sizes, (classes, numpy.array(labels)), 1)
        return (bounds.smallest <= sizes).all() and (sizes <= bounds.largest).all()

    labels = balanced_labels(scores, tolerance=tolerance, classes=classes)
    assert is_within(labels.tolist())
    best = max(
        float(scores[torch.arange(6), torch.tensor(other)].sum())
        for other in product(range(2), repeat=6)
        if is_within(other)
    )
    assert float(scores[torch.arange(6), labels].sum()) == pytest.approx(best, abs=1e-9)
