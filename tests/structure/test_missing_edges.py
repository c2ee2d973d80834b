"""The missing edges by number are those that a loop over all pairs finds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules import UnitGraph
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure.missing_edges import MissingEdges
from pyg_modules.structure.possible_edges import PossibleEdges
from tests.strategies import generator, seeds, unit_graphs


def role(graph, unit):
    return (unit in graph.hidden) + 2 * (unit in graph.outputs)


def pairs(edge_index):
    return list(map(tuple, edge_index.T.tolist()))


def possible_pairs(graph, labels=None):
    """By definition, one pair after the other."""
    edges = pairs(graph.edge_index)
    kinds = {(role(graph, j), role(graph, i), j == i) for j, i in edges}
    kinds |= {(j, i, False) for j, i, _ in kinds}
    every = [(j, i) for i in range(graph.num_units) for j in range(graph.num_units)]
    found = {(j, i) for j, i in every if (role(graph, j), role(graph, i), False) in kinds}
    if not any(j == i for j, i in edges):
        found = {(j, i) for j, i in found if j != i}
    if labels is not None and found:
        found = sorted(found)
        counts = graph.num_units, graph.num_inputs, graph.num_outputs
        joins = stays_independent(UnitGraph(torch.tensor(found).T, *counts), labels)
        found = {pair for pair, is_joined in zip(found, joins.tolist(), strict=True) if is_joined}
    return found


@given(unit_graphs(), seeds, st.sampled_from([0, 1, 3]))
def test_they_are_the_possible_ones_that_are_not_there(graph, seed, num_modules):
    labels = None
    if num_modules:
        labels = torch.randint(-1, num_modules, (graph.num_units,), generator=generator(seed))
    may_receive = torch.rand(graph.num_units, generator=generator(seed)) < 0.8
    possible = PossibleEdges(graph, labels)
    missing = MissingEdges(possible, graph.edge_index, may_receive.numpy())
    found = pairs(missing.at(np.arange(missing.count)))
    expected = possible_pairs(graph, labels) - set(pairs(graph.edge_index))
    assert len(found) == len(set(found)) == missing.count
    assert set(found) == {(j, i) for j, i in expected if may_receive[i]}
    into = torch.zeros(graph.num_units, dtype=torch.long)
    for _, i in possible_pairs(graph, labels):
        into[i] += 1
    assert torch.equal(torch.from_numpy(possible.num_into(graph.num_units)), into)


@pytest.mark.parametrize(
    ("graph", "count"),
    [
        (UnitGraph.complete(3, 5, 2), 0),
        (UnitGraph.layered([3, 5, 2]), 0),
        (UnitGraph.yoked([3, 5, 2]), 0),
        # Of two hidden levels, units of the first may receive from the second.
        (UnitGraph.layered([3, 4, 4, 2]), 3 * 4 + 8 * 7 - 16 + 4 * 2),
    ],
)
def test_an_mlp_of_one_level_stays_one(graph, count):
    every = np.ones(graph.num_units, dtype=bool)
    assert MissingEdges(PossibleEdges(graph), graph.edge_index, every).count == count


def test_a_loop_that_came_by_other_hands_is_no_second_place():
    graph = UnitGraph(torch.tensor([[0, 1, 1, 2], [1, 2, 3, 3]]), 4, 1, 1)
    every = np.ones(4, dtype=bool)
    with_loop = torch.cat([graph.edge_index, torch.tensor([[2], [2]])], dim=1)
    before, after = (
        MissingEdges(PossibleEdges(graph), edges, every) for edges in (graph.edge_index, with_loop)
    )
    assert before.count == after.count == 2
    assert pairs(before.at(np.arange(2))) == pairs(after.at(np.arange(2))) == [(2, 1), (0, 2)]


def test_a_million_units_need_no_matrix():
    num_units = 10**6
    edge_index = torch.tensor([[0, 1, num_units - 2], [1, 2, num_units - 1]])
    graph = UnitGraph(edge_index, num_units, 1, 1)
    missing = MissingEdges(PossibleEdges(graph), edge_index, np.ones(num_units, dtype=bool))
    num_hidden = num_units - 2
    assert missing.count == 2 * num_hidden + num_hidden * (num_hidden - 1) - 3
    last = missing.at(np.array([missing.count - 1]))
    assert last.flatten().tolist() == [num_units - 3, num_units - 1]
