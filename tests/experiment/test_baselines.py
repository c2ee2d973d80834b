import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.experiment.baselines import mlp_of_size, random_balanced_labels


@pytest.mark.parametrize("size", [100, 5_000, 25_994])
def test_no_other_width_comes_closer_to_the_size(size):
    def num_parameters(width):
        return (64 + 1) * width + (width + 1) * 10

    mlp = mlp_of_size(size, 64, 10)
    width = mlp[0].out_features
    assert sum(parameter.numel() for parameter in mlp.parameters()) == num_parameters(width)
    distance = abs(num_parameters(width) - size)
    assert all(abs(num_parameters(other) - size) >= distance for other in range(1, 500))


def test_random_labels_are_balanced_over_the_hidden_units_and_random():
    graph = UnitGraph.complete(3, 10, 2)
    labels = [random_balanced_labels(graph, 4) for _ in range(5)]
    for drawn in labels:
        assert (drawn[:3] == -1).all()
        assert (drawn[13:] == -1).all()
        assert sorted(drawn[3:13].bincount().tolist()) == [2, 2, 3, 3]
    assert any(not torch.equal(labels[0], other) for other in labels[1:])


@pytest.mark.parametrize(("scope", "owned"), [("inputs", [3, 10]), ("all", [3, 10, 4])])
def test_random_labels_of_a_scope_give_every_module_its_share_of_each_kind(scope, owned):
    labels = random_balanced_labels(UnitGraph.complete(3, 10, 4), 3, scope)
    kinds = labels.split([3, 10, 4])
    shares = {3: [1, 1, 1], 10: [3, 3, 4], 4: [1, 1, 2]}
    for kind in kinds[: len(owned)]:
        assert sorted(kind.bincount().tolist()) == shares[len(kind)]
    assert all((kind == -1).all() for kind in kinds[len(owned) :])
