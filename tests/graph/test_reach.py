import re
import warnings

import networkx
import numpy
import pytest
import torch
from hypothesis import given

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
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


def chain(num_hidden):
    """From one input over hidden units in a row to one output."""
    units = torch.arange(num_hidden + 1)
    return UnitGraph(torch.stack([units, units + 1]), num_hidden + 2, 1, 1)


@pytest.mark.parametrize("num_hidden", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_layer_warns_of_outputs_that_its_updates_do_not_reach(num_hidden, steps):
    graph = chain(num_hidden)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = SynchronousGraph(graph, Unrolled(steps), dtype=torch.float64)
        SynchronousGraph(graph, Equilibrium())
    with torch.no_grad():
        layer.weight.fill_(1)
        first, second = layer(torch.tensor([[1.0], [2.0]], dtype=torch.float64))
    assert bool(caught) == (first == second) == (steps < num_hidden)
    for warning in caught:
        said = f"1 of 1 outputs are the same .*than {steps} updates .*steps={num_hidden}"
        assert re.search(said, str(warning.message))
        assert warning.filename == __file__


def test_outputs_that_nothing_reaches_are_not_said_to_need_more_updates():
    SynchronousGraph(UnitGraph(torch.tensor([[0, 2], [2, 2]]), 4, 1, 1), Unrolled(1))
    both = UnitGraph(torch.tensor([[0, 1, 2, 2], [1, 2, 3, 5]]), 6, 1, 3)
    with pytest.warns(UserWarning, match="1 of 3 outputs"):
        SynchronousGraph(
            UnitGraph(torch.tensor([[0, 1, 2, 0], [1, 2, 3, 4]]), 6, 1, 3), Unrolled(1)
        )
    SynchronousGraph(both, Unrolled(2))


def test_a_layer_warns_of_hidden_units_that_mostly_take_no_part_in_its_updates():
    # From an input over the first one to an output, and around over all others.
    edges = torch.tensor([[0, 1, 1, 2, 3, 4, 5], [1, 6, 2, 3, 4, 5, 1]])
    graph = UnitGraph(edges, 7, 1, 1)
    said = r"4 of 5 hidden units take no part: .* in 2 updates.* Unrolled\(steps=6\) reaches"
    with pytest.warns(UserWarning, match=said) as caught:
        SynchronousGraph(graph, Unrolled(2))
    assert caught[0].filename == __file__
    SynchronousGraph(graph, Unrolled(2))  # Once is enough.
    SynchronousGraph(graph, Unrolled(6))
    half = torch.tensor([[0, 1, 0, 2, 1, 3, 4], [1, 5, 2, 5, 3, 4, 1]])
    SynchronousGraph(UnitGraph(half, 6, 1, 1), Unrolled(2))
