import torch

from pyg_modules.ops import EdgeSet

EDGES = torch.tensor([[3, 0, 1, 3, 2], [3, 2, 3, 2, 3]])


def test_between_keeps_the_edges_of_the_ranges_in_local_ids_by_target_and_source():
    block = EdgeSet.between(EDGES, range(2), range(2, 4))
    assert block.edge_ids.tolist() == [1, 2]
    assert (block.source.tolist(), block.target.tolist()) == ([0, 1], [0, 1])
    assert (block.num_sources, block.num_targets, block.num_edges) == (2, 2, 2)


def test_among_keeps_the_edges_inside_a_set_of_units_in_local_ids_by_target_and_source():
    block = EdgeSet.among(EDGES, torch.tensor([True, False, True, True]))
    assert block.edge_ids.tolist() == [1, 3, 4, 0]
    assert block.source.tolist() == [0, 2, 1, 2]
    assert block.target.tolist() == [1, 1, 2, 2]
    assert (block.num_sources, block.num_targets) == (3, 3)


def test_edges_as_they_are_listed_are_the_same_edges():
    members = torch.ones(4, dtype=torch.bool)
    edges = EdgeSet.among(EDGES, members).as_listed()
    assert edges.edge_ids.tolist() == list(range(EDGES.size(1)))
    assert torch.equal(torch.stack([edges.source, edges.target]), EDGES)


def test_components_are_those_of_the_undirected_graph():
    block = EdgeSet.between(torch.tensor([[0, 2, 3], [2, 4, 3]]), range(5), range(5))
    first, alone, _, loop, last = block.components
    assert first == block.components[2] == last
    assert len({first, alone, loop}) == 3
