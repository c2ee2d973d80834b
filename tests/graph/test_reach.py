import networkx
import numpy
import pytest
import torch
from hypothesis import given

from pyg_modules import UnitGraph
from pyg_modules.graph.reach import Reach
from tests.strategies import unit_graphs


@given(unit_graphs())
def test_distances_are_those_of_the_shortest_paths(graph):
    directed = networkx.DiGraph(graph.edge_index.T.tolist())
    directed.add_nodes_from(range(graph.num_units))
    reach = Reach.of(graph)
    for unit in range(graph.num_units):
        to_unit = networkx.single_target_shortest_path_length(directed, unit)
        from_unit = networkx.single_source_shortest_path_length(directed, unit)
        nearest = min(
            (dict(to_unit).get(one, numpy.inf) for one in graph.inputs), default=numpy.inf
        )
        farthest = min((from_unit.get(one, numpy.inf) for one in graph.outputs), default=numpy.inf)
        assert reach.from_inputs[unit] == nearest
        assert reach.to_outputs[unit] == farthest


@pytest.mark.parametrize("steps", [1, 2, 3, 4, None])
def test_a_level_that_the_updates_do_not_reach_is_not_alive(steps):
    graph = UnitGraph.layered([2, 3, 4, 5, 2])  # Three updates reach the outputs.
    alive = Reach.of(graph).is_alive(steps)
    assert alive.all() == (steps is None or steps >= 3)
    assert alive.any() == alive.all()


def test_a_unit_that_leads_nowhere_or_comes_from_nowhere_is_not_alive():
    # 0 is an input, 5 an output; 2 comes from 3, which nothing reaches; 4 leads nowhere.
    edges = torch.tensor([[0, 1, 2, 3, 1, 3], [1, 5, 5, 2, 4, 3]])
    alive = Reach.of(UnitGraph(edges, 6, 1, 1)).is_alive()
    assert alive.tolist() == [True, True, False, False, False, True]


def test_only_edges_that_are_kept_count():
    graph = UnitGraph.layered([1, 2, 1])
    kept = ~((graph.edge_index == torch.tensor([[0], [1]])).all(dim=0))
    assert Reach.of(graph, kept).is_alive().tolist() == [True, False, True, True]


def test_without_inputs_or_outputs_nothing_is_alive():
    loop = torch.tensor([[0, 1], [1, 0]])
    assert not Reach.of(UnitGraph(loop, 2, 0, 0)).is_alive().any()
