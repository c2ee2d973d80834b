from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.partition import balanced_labels
from tests.strategies import generator, seeds


@given(st.integers(1, 20), st.integers(1, 6), seeds)
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
    with pytest.raises(ValueError, match="got 3 modules for 2 units"):
        balanced_labels(torch.rand(2, 3))


def test_a_list_is_refused():
    with pytest.raises(TypeError, match=r"assignment to be a Tensor \(got list\)"):
        balanced_labels([[1.0, 0.0]])


def test_an_assignment_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"finite assignment.*diverged.*learning rate"):
        balanced_labels(torch.full((4, 2), float("nan")))
