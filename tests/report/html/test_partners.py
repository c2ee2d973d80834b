import torch

from pyg_modules.report.html.partners import describe_partners, strongest_partners

SOURCE = torch.tensor([0, 1, 2, 2, 3, 0])
TARGET = torch.tensor([2, 2, 2, 3, 2, 3])
WEIGHT = torch.tensor([0.5, -0.75, 0.25, 1.0, -0.5, 0.0])


def test_the_largest_magnitudes_come_first_equal_ones_by_partner_and_none_of_0():
    assert strongest_partners(TARGET, SOURCE, WEIGHT, 3) == [[], [], [1, 0, 4], [3]]
    assert strongest_partners(SOURCE, TARGET, WEIGHT, 1) == [[0], [1], [3], [4]]


def test_a_graph_without_edges_has_no_partners():
    nothing = torch.empty(0, dtype=torch.long)
    assert strongest_partners(nothing, nothing, torch.empty(0), 3) == []


def test_partners_are_described_with_signed_weights():
    names = ["a", "b", "c", "d"]
    assert describe_partners([1, 0], SOURCE, WEIGHT, names) == "b −0.750\na +0.500"
    tiny = torch.tensor([-2e-7])
    assert describe_partners([0], SOURCE[:1], tiny, names) == "a −2.0e-07"
