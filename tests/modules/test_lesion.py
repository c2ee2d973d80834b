import numpy
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, cut, split
from pyg_modules.modules import lesion_study
from tests.strategies import normal


class Constant(nn.Module):
    """The same logits for every x; row b for sample b."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return self.logits[: len(x)]


# Three samples of class 0, one of class 1, none of class 2.
Y = torch.tensor([0, 0, 0, 1])
X = torch.zeros(4, 5)
# Alone: predicts 0 0 1 1.
FIRST = Constant([[3.0, 0, 0], [1.0, 0, 0], [0, 3.0, 0], [0, 1.0, 0]])
# Alone: predicts 0 1 0 0, and overrules the first in samples 1, 2 and 3.
SECOND = Constant([[1.0, 0, 0], [0, 2.0, 0], [4.0, 0, 0], [2.0, 0, 0]])
# Without effect, but predicts 0 alone, since the first of equals wins.
THIRD = Constant([[0.0, 0, 0]] * 4)


def test_accuracies_are_those_counted_by_hand():
    study = lesion_study([FIRST, SECOND, THIRD], X, Y)
    nan = float("nan")
    # Together: 0 1 0 0.
    expected = {
        "all": [2 / 3, 0, nan],
        "without": [[2 / 3, 0, nan], [2 / 3, 1, nan], [2 / 3, 0, nan]],
        "only": [[2 / 3, 1, nan], [2 / 3, 0, nan], [1, 0, nan]],
    }
    for name, values in expected.items():
        torch.testing.assert_close(getattr(study, name), torch.tensor(values), equal_nan=True)
    assert study.num_samples.tolist() == [3, 1, 0]


def cut_layer():
    """Asymmetric, signed, cyclic, with direct edges and biases that matter."""
    graph = UnitGraph.complete(3, 9, 4)
    direct = torch.cartesian_prod(torch.arange(3), torch.arange(12, 16)).T
    graph = UnitGraph(torch.cat([graph.edge_index, direct], dim=1), 16, 3, 4)
    layer = SynchronousGraph(graph, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(normal(graph.num_edges) / 3)
        layer.bias.copy_(normal(13, seed=1))
    labels = torch.tensor([-1] * 3 + [0, 1, 2] * 3 + [-1] * 4)
    return cut(layer, labels)


def accuracy_per_class(predicted, y):
    return torch.stack([(predicted[y == c] == c).float().mean() for c in range(4)])


def test_lesions_are_drop_and_only_of_the_modular_graph():
    parts = split(cut_layer())
    x, y = normal(200, 3), torch.arange(200) % 4
    study = lesion_study(parts, x, y)
    modular = ModularGraph(parts)

    def expected(network):
        return accuracy_per_class(network(x).argmax(dim=-1), y)

    torch.testing.assert_close(study.all, expected(modular))
    for k in range(3):
        torch.testing.assert_close(study.without[k], expected(modular.drop(k)))
        torch.testing.assert_close(study.only[k], expected(modular.only(k)))
    # The comparison means something: no two rows are the same.
    rows = torch.cat([study.all[None], study.without, study.only])
    assert len(torch.unique(rows, dim=0)) == 7


def test_of_a_regression_it_is_r2_by_output():
    parts = split(cut_layer())
    x, modular = normal(50, 3), ModularGraph(parts)
    y = (modular(x) + normal(50, 4, seed=3) / 10).detach()
    y[:, 2] = 5.0
    study = lesion_study(parts, x, y)

    def expected(network):
        scores = r2_score(y, network(x).detach(), multioutput="raw_values")
        scores[2] = numpy.nan  # scikit-learn says 0, where nothing can be explained.
        return torch.tensor(scores)

    torch.testing.assert_close(study.all, expected(modular), equal_nan=True)
    assert study.all[0] > 0.9
    for k in range(3):
        torch.testing.assert_close(study.without[k], expected(modular.drop(k)), equal_nan=True)
        torch.testing.assert_close(study.only[k], expected(modular.only(k)), equal_nan=True)
    assert study.is_regression
    assert study.num_samples.tolist() == [50] * 4


@pytest.mark.parametrize("number", [3, 6, 7, 10])
@pytest.mark.parametrize("value", [0.1, 1.1])
def test_of_a_target_that_is_the_same_everywhere_r2_says_nothing(number, value):
    # The mean of so many is rounded.
    study = lesion_study(split(cut_layer()), normal(number, 3), torch.full((number, 4), value))
    assert all(bool(found.isnan().all()) for found in (study.all, study.without, study.only))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_of_targets_that_are_no_numbers_it_says_nothing(value):
    y = normal(8, 4)
    y[3, 1] = value
    with pytest.raises(ValueError, match=r"Expected finite targets .* y.isfinite\(\)"):
        lesion_study(split(cut_layer()), normal(8, 3), y)


def test_output_biases_are_lost_with_the_first_part_alone():
    layer = cut_layer()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.bias[-2] = 1.0  # Output 2 wins wherever the biases are, output 0 where all are 0.
    study = lesion_study(split(layer), normal(8, 3), torch.arange(8) % 4)
    with_biases, without_biases = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0]])
    assert torch.equal(study.all, with_biases)
    assert torch.equal(study.only, torch.stack([with_biases, without_biases, without_biases]))
    assert torch.equal(study.without, torch.stack([without_biases, with_biases, with_biases]))


def test_it_keeps_no_graph_of_gradients():
    study = lesion_study(split(cut_layer()), normal(4, 3), torch.arange(4))
    assert not study.all.requires_grad


@pytest.mark.parametrize(
    ("parts", "y", "error", "match"),
    [
        ([Constant([[0.0]] * 4)] * 2, 0 * Y, ValueError, "two classes or more"),
        ([FIRST, SECOND], Y.numpy(), TypeError, r"LongTensor, or targets \(got ndarray\)"),
        (FIRST, Y, TypeError, r"sequence of networks, one per module \(got one Constant\)"),
        ([FIRST], Y, ValueError, r"two parts at least \(got 1\)"),
        ([FIRST, SECOND], Y[:3], ValueError, r"y of shape \[4\].*got \[3\]"),
        ([FIRST, SECOND], Y[:, None], ValueError, r"y of shape \[4\].*got \[4, 1\]"),
        ([FIRST, SECOND], Y + 2, ValueError, r"classes from 0 to 2.*got 2 to 3"),
        ([FIRST, SECOND], Y - 1, ValueError, r"classes from 0 to 2.*got -1 to 0"),
        ([FIRST, SECOND], Y.bool(), TypeError, r"LongTensor, or targets \(got torch.bool\)"),
        ([FIRST, SECOND], Y.float(), ValueError, r"shape \[4, 3\].*got \[4\].*y.long\(\)"),
        ([FIRST, Constant([[0.0]] * 4)], Y, ValueError, r"\[4, C\].*\(4, 1\), \(4, 3\)"),
        ([Constant([0.0] * 4)] * 2, Y, ValueError, r"\[4, C\] from every part"),
    ],
)
def test_bad_arguments_are_refused(parts, y, error, match):
    with pytest.raises(error, match=match):
        lesion_study(parts, X, y)


def test_of_no_sample_and_of_a_head_that_returns_no_numbers_nothing_is_said():
    parts = split(cut_layer())
    with pytest.raises(ValueError, match=r"at least one sample \(got none\)"):
        lesion_study(parts, normal(0, 3), torch.arange(0))
    with pytest.raises(ValueError, match=r"outputs that are numbers \(got NaN\)"):
        lesion_study(parts, normal(4, 3), torch.arange(4), head=lambda sums: sums * torch.nan)
