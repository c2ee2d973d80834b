import numpy
import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.report.edge_bins import KINDS, bin_edges

# Input 0, hidden units 1 to 3, output 4; a cycle and a self-loop.
BEFORE = UnitGraph(torch.tensor([[0, 1, 2, 3, 3], [1, 2, 1, 3, 4]]), 5, 1, 1)
AFTER = UnitGraph(torch.tensor([[0, 1, 1, 3, 2], [1, 2, 3, 3, 4]]), 5, 1, 1)


def test_every_edge_between_hidden_units_is_counted_in_its_place():
    bins = bin_edges(BEFORE, AFTER)
    assert bins.width == 1
    assert bins.units.tolist() == [1, 2, 3]
    assert {kind: numpy.argwhere(count).tolist() for kind, count in bins.counts.items()} == {
        "kept": [[1, 0], [2, 2]],
        "removed": [[0, 1]],
        "added": [[2, 0]],
    }
    assert bins.sum(["kept", "added"]).tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_units_are_ordered_by_labels():
    bins = bin_edges(BEFORE, AFTER, torch.tensor([-1, 1, 0, 0, -1]))
    assert bins.units.tolist() == [2, 3, 1]
    assert numpy.argwhere(bins.counts["removed"]).tolist() == [[2, 0]]


def test_a_square_of_one_kind_of_edges_has_its_colour_and_an_empty_one_is_white():
    colors = bin_edges(BEFORE, AFTER).rgb()
    kept, removed, added = (
        [int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in KINDS.values()
    )
    white = [255, 255, 255]
    assert colors.tolist() == [
        [white, removed, white],
        [kept, white, white],
        [added, white, kept],
    ]
    before = bin_edges(BEFORE, AFTER).rgb(["kept", "removed"])
    assert before[2].tolist() == [white, white, kept]


def test_many_units_share_squares_which_are_darker_where_more_edges_are():
    # Hidden units 1 to 257, two to a square, and one in the last row and column.
    edges = torch.tensor([[1, 2, 1, 2, 5, 257, 5], [1, 1, 2, 2, 3, 257, 257]])
    before = UnitGraph(edges, 259, 1, 1)
    bins = bin_edges(before, before.with_edges(edges[:, :-1]))
    assert bins.width == 2
    assert bins.counts["kept"].shape == (129, 129)
    kept = bins.counts["kept"]
    assert kept[0, 0] == 4
    assert kept[1, 2] == 1
    assert kept[128, 128] == 1
    assert kept.sum() == 6
    assert numpy.argwhere(bins.counts["removed"]).tolist() == [[128, 2]]
    colors = bins.rgb()
    # All of 4 possible edges; 1 of 4, in half the shade; the only one of the last unit.
    grey = 255 - int(KINDS["kept"][1:3], 16)
    assert colors[0, 0].tolist() == [255 - grey] * 3
    assert colors[1, 2].tolist() == [round(255 - grey / 2)] * 3
    assert colors[128, 128].tolist() == [255 - grey] * 3


def test_edges_of_two_kinds_in_a_square_mix_their_colours():
    edges = torch.tensor([[1, 2], [1, 2]])
    before = UnitGraph(edges[:, :1], 302, 1, 1)
    colors = bin_edges(before, before.with_edges(edges[:, 1:])).rgb()
    removed, added = (
        numpy.array([int(KINDS[kind][start : start + 2], 16) for start in (1, 3, 5)])
        for kind in ("removed", "added")
    )
    assert colors[0, 0].tolist() == numpy.rint((removed + added) / 2).tolist()


def test_without_edges_all_is_white():
    graph = BEFORE.with_edges(BEFORE.edge_index[:, :0])
    assert (bin_edges(graph, graph).rgb() == 255).all()


@pytest.mark.filterwarnings("ignore:.* take no part")
def test_a_million_edges_between_many_units_take_no_matrix_of_them():
    generator = torch.Generator().manual_seed(0)
    graph = UnitGraph.fixed_in_degree(1, 100_000, 1, 10, generator=generator)
    bins = bin_edges(graph, graph.with_edges(graph.edge_index[:, ::2]))
    assert bins.width == 391
    assert bins.sum().shape == (256, 256)
    is_hidden = ((graph.edge_index > 0) & (graph.edge_index <= 100_000)).all(dim=0)
    assert bins.counts["kept"].sum() == is_hidden[::2].sum()
    assert bins.counts["removed"].sum() == is_hidden[1::2].sum()
    assert bins.counts["added"].sum() == 0
