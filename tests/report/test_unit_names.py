import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.report.unit_names import UnitNames, names_of_columns

GRAPH = UnitGraph.complete(4, 3, 2)
NAMES = UnitNames(["a", "b", "c", "d"], ["yes", "no"])


def test_modules_say_which_inputs_and_outputs_are_theirs():
    labels = torch.tensor([0, 1, 0, -1, 0, 1, 1, 1, 1])
    assert NAMES.by_module(GRAPH, labels) == [
        "module 0: inputs a, c",
        "module 1: input b; outputs yes, no",
        "all modules: input d",
    ]
    assert NAMES.by_module(GRAPH, labels, most=1) == [
        "module 0: inputs a and 1 more",
        "module 1: input b; outputs yes and 1 more",
        "all modules: input d",
    ]
    assert UnitNames(outputs=["yes", "no"]).by_module(GRAPH, labels) == [
        "module 1: outputs yes, no"
    ]


def test_modules_that_share_inputs_and_outputs_say_nothing():
    labels = torch.tensor([-1] * 4 + [0, 1, 1] + [-1] * 2)
    assert NAMES.by_module(GRAPH, labels) == []


def test_without_names_units_are_numbered():
    assert UnitNames().of_units(GRAPH)[::4] == ["input 0", "unit 4", "output 1"]
    assert UnitNames().by_module(GRAPH, torch.zeros(9, dtype=torch.long)) == []


def test_names_of_columns_are_those_of_data_frames_with_strings():
    pandas = pytest.importorskip("pandas")
    assert names_of_columns(pandas.DataFrame({"a": [1], "b": [2]})) == ["a", "b"]
    assert names_of_columns(pandas.DataFrame([[1, 2]])) is None
    assert names_of_columns(torch.rand(1, 2)) is None
