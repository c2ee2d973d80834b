import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.report.unit_groups import unit_groups


def test_inputs_modules_shared_units_and_outputs_in_this_order():
    graph = UnitGraph.complete(2, 4, 1)
    groups = unit_groups(graph, torch.tensor([-1, -1, 1, 0, -1, 1, -1]))
    assert [(group.key, group.kind, group.module, group.units.tolist()) for group in groups] == [
        ("inputs", "input", None, [0, 1]),
        ("module-0", "hidden", 0, [3]),
        ("module-1", "hidden", 1, [2, 5]),
        ("shared", "hidden", None, [4]),
        ("outputs", "output", None, [6]),
    ]


def test_every_unit_is_in_one_group_where_modules_own_inputs_and_outputs():
    graph = UnitGraph.complete(2, 4, 2)
    groups = unit_groups(graph, torch.tensor([0, 1, 0, 0, 1, 1, 0, 1]))
    assert sorted(torch.cat([group.units for group in groups]).tolist()) == list(range(8))
    assert [group.name for group in groups] == ["inputs", "module 0", "module 1", "outputs"]


def test_labels_of_another_graph_are_refused():
    with pytest.raises(ValueError, match=r"Expected labels of shape \[7\]"):
        unit_groups(UnitGraph.complete(2, 4, 1), torch.zeros(3, dtype=torch.long))


def test_merged_groups_have_the_inputs_and_outputs_of_their_module():
    graph = UnitGraph.complete(2, 4, 2)
    groups = unit_groups(graph, torch.tensor([0, -1, 0, 0, 1, 1, -1, 1]), merged=True)
    assert [(group.key, group.units.tolist()) for group in groups] == [
        ("inputs", [1]),
        ("module-0", [0, 2, 3]),
        ("module-1", [4, 5, 7]),
        ("outputs", [6]),
    ]


def test_units_of_one_module_stand_together_among_the_inputs():
    graph = UnitGraph.complete(3, 2, 1)
    inputs, *_ = unit_groups(graph, torch.tensor([1, 0, 1, 0, 1, -1]))
    assert inputs.units.tolist() == [1, 0, 2]
