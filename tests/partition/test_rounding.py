from itertools import permutations, product

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition import balanced_labels
from pyg_modules.partition.rounding import _in_turn
from pyg_modules.partition.sizing import SizeBounds
from tests.strategies import generator, seeds


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


def test_a_balanced_assignment_is_kept():
    labels = torch.tensor([2, 0, 1, 1, 2, 0])
    assert torch.equal(balanced_labels(torch.nn.functional.one_hot(labels).float()), labels)


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
    sizes = numpy.bincount(_in_turn(gain, bounds), minlength=num_modules)
    assert (sizes >= bounds.smallest).all()
    assert (sizes <= bounds.largest).all()


def test_many_units_are_balanced_too():
    assignment = torch.rand(70_000, 4, generator=generator(0)).softmax(dim=-1)
    assert balanced_labels(assignment).bincount().tolist() == [17_500] * 4
