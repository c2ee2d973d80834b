import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules.partition import cut_fraction, module_sizes, ncut_loss, normalized_cut
from tests.strategies import generator, seeds, unit_graphs

# Directed: 0 -> 1 with 2, 1 -> 0 with -4, 1 -> 2 with 1, self-loop at 2 with -3, 3 shared.
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 2, 0, 3]])
WEIGHT = torch.tensor([2.0, -4.0, 1.0, -3.0, 9.0, 9.0])
LABELS = torch.tensor([0, 0, 1, -1])


def test_values_by_hand():
    # Volumes without the shared unit: 6.5 and 3.5; inside: 6 and 3; in all 10, of which 1 crosses.
    assert normalized_cut(EDGES, WEIGHT, LABELS) == pytest.approx(
        ((1 - 6 / 6.5) + (1 - 3 / 3.5)) / 2, abs=1e-15
    )
    assert cut_fraction(EDGES, WEIGHT, LABELS) == pytest.approx(0.1, abs=1e-15)
    assert module_sizes(LABELS) == [2, 1]


@given(unit_graphs(min_hidden=4), st.integers(1, 4), seeds)
def test_normalized_cut_is_the_loss_at_hard_labels(graph, num_modules, seed):
    rand = generator(seed)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=rand)
    labels = torch.randint(num_modules, (graph.num_units,), generator=rand)
    assume(len(labels.unique()) == num_modules)
    hard = torch.nn.functional.one_hot(labels, num_modules).double()
    expected = ncut_loss(graph.edge_index, weight, hard).item()
    assert normalized_cut(graph.edge_index, weight, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1]])
def test_extremes(labels):
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    weight = torch.tensor([1.0, -2.0, 3.0, 4.0])
    assert normalized_cut(edges, weight, torch.tensor(labels)) == 0
    assert cut_fraction(edges, weight, torch.tensor(labels)) == 0
    assert normalized_cut(edges, weight, torch.tensor([0, 1, 0, 1])) == 1
    assert cut_fraction(edges, weight, torch.tensor([0, 1, 0, 1])) == 1


def test_without_weight_the_cut_is_one_and_the_fraction_zero():
    zeros = torch.zeros(6)
    assert normalized_cut(EDGES, zeros, LABELS) == 1
    assert cut_fraction(EDGES, zeros, LABELS) == 0


def test_bad_labels_are_refused():
    for metric in (normalized_cut, cut_fraction):
        with pytest.raises(ValueError, match="got only shared units"):
            metric(EDGES, WEIGHT, torch.full((4,), -1))
        with pytest.raises(ValueError, match="modules \\[0, 2\\]"):
            metric(EDGES, WEIGHT, torch.tensor([0, 2, 2, 0]))
        with pytest.raises(ValueError, match=r"one weight per edge, \[6\] \(got \[3\]\)"):
            metric(EDGES, WEIGHT[:3], LABELS)
        with pytest.raises(ValueError, match=r"ids in \[0, 2\).*got 0 to 3"):
            metric(EDGES, WEIGHT, LABELS[1:3])
        with pytest.raises(TypeError, match=r"edge_index to be a Tensor \(got list\)"):
            metric(EDGES.tolist(), WEIGHT, LABELS)
    with pytest.raises(TypeError, match="LongTensor"):
        module_sizes(torch.zeros(3))
