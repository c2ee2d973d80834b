from itertools import combinations
from math import log

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules.partition import agreement, stability
from tests.strategies import generator, seeds


def test_values_by_hand():
    # Of the 6 pairs of units, 2 are together in the first, 3 in the second, 1 in both; by chance
    # 2 * 3 / 6 = 1 would be.
    first, second = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1])
    # Joint shares 2/4, 1/4, 1/4 of (0, 0), (1, 0), (1, 1).
    information = 2 / 4 * log(4 / 3) + 1 / 4 * log(2 / 3) + 1 / 4 * log(2)
    entropies = log(2), -3 / 4 * log(3 / 4) - 1 / 4 * log(1 / 4)
    expected = {"ari": 0.0, "nmi": information / (sum(entropies) / 2)}
    assert agreement(first, second) == pytest.approx(expected, abs=1e-12)


def test_the_numbers_of_the_modules_do_not_matter():
    labels, renumbered = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([2, 2, 0, 1, 1])
    assert agreement(labels, renumbered) == pytest.approx({"ari": 1, "nmi": 1}, abs=1e-12)


def test_modules_across_each_other_agree_less_than_chance():
    # No pair is together in both; chance would put 2 * 2 / 6 there: (0 - 2/3) / (2 - 2/3).
    across = agreement(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    assert across == pytest.approx({"ari": -0.5, "nmi": 0}, abs=1e-12)


def test_shared_units_do_not_count():
    labels = torch.tensor([-1, 0, 0, 1, 1, 0, -1])
    other = torch.tensor([0, 1, 1, 0, 0, -1, -1])
    assert agreement(labels, other) == pytest.approx({"ari": 1, "nmi": 1}, abs=1e-12)


@st.composite
def partitions(draw, num_units=8):
    labels = torch.randint(
        draw(st.sampled_from([-1, 0])),
        draw(st.integers(1, 4)),
        (num_units,),
        generator=generator(draw(seeds)),
    )
    return torch.unique(torch.cat([torch.tensor([-1]), labels]), return_inverse=True)[1][1:] - 1


@given(partitions(), partitions())
def test_ari_equals_a_count_of_pairs(labels, other):
    units = [i for i in range(8) if labels[i] >= 0 and other[i] >= 0]
    assume(units)
    pairs = list(combinations(units, 2))
    first = {pair for pair in pairs if labels[pair[0]] == labels[pair[1]]}
    second = {pair for pair in pairs if other[pair[0]] == other[pair[1]]}
    chance = len(first) * len(second) / max(len(pairs), 1)
    most = (len(first) + len(second)) / 2
    # Equal without any choice: all units together in both, or all apart.
    expected = 1.0 if most == chance else (len(first & second) - chance) / (most - chance)
    assert agreement(labels, other)["ari"] == pytest.approx(expected, abs=1e-12)


@given(partitions(), partitions())
def test_agreement_is_symmetric_and_bounded(labels, other):
    assume(bool(((labels >= 0) & (other >= 0)).any()))
    value = agreement(labels, other)
    assert value == pytest.approx(agreement(other, labels), abs=1e-12)
    assert value["ari"] <= 1 + 1e-12
    assert -1e-12 <= value["nmi"] <= 1 + 1e-12


def test_stability_is_the_mean_over_pairs():
    labels, renumbered = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 0])
    across = torch.tensor([0, 1, 0, 1])
    assert stability([labels, renumbered]) == pytest.approx({"ari": 1, "nmi": 1}, abs=1e-12)
    # Pairs: 1, -1/2, -1/2 and 1, 0, 0.
    expected = {"ari": 0, "nmi": 1 / 3}
    assert stability([labels, renumbered, across]) == pytest.approx(expected, abs=1e-12)


def test_bad_partitions_are_refused():
    labels = torch.tensor([0, 0, 1, -1])
    with pytest.raises(ValueError, match=r"same units \(got labels for 4 and 3 units\)"):
        agreement(labels, labels[:3])
    with pytest.raises(ValueError, match=r"in a module of both partitions \(got none\).*scope"):
        agreement(labels, torch.tensor([-1, -1, -1, 0]))
    with pytest.raises(TypeError, match=r"LongTensor \(got list\)"):
        agreement(labels, [0.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"got the modules \[1\]"):
        agreement(torch.tensor([1, 1, 1, 1]), labels)
    for few in ([], [labels]):
        with pytest.raises(ValueError, match=rf"two partitions \(got {len(few)}\).*another seed"):
            stability(few)
    with pytest.raises(ValueError, match="same units"):
        stability([labels, labels, labels[:3]])
