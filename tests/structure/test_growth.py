from itertools import product

import numpy as np
import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.structure import gradient_growth, local_growth
from pyg_modules.structure.growing import Growing, take_best
from pyg_modules.structure.growth import GROWTHS
from pyg_modules.structure.missing_edges import MissingEdges
from pyg_modules.structure.possible_edges import PossibleEdges
from tests.strategies import generator

GRAPH = UnitGraph.erdos_renyi(4, 12, 3, 0.2, generator=generator(0), repair=True)
COUNTS = GRAPH.num_units, GRAPH.num_inputs, GRAPH.num_outputs


def probe(graphs, seed):
    """A gradient that is known for every pair of units, with both signs."""
    values = torch.randn(COUNTS[0], COUNTS[0], generator=generator(seed))
    for graph in graphs:
        yield values[graph.edge_index[0], graph.edge_index[1]]


def asked(number, room=100, seed=0):
    room = np.full(GRAPH.num_units, room)
    return Growing(GRAPH, PossibleEdges(GRAPH), room, number, probe, seed)


def missing_edges():
    every = np.ones(GRAPH.num_units, dtype=bool)
    missing = MissingEdges(PossibleEdges(GRAPH), GRAPH.edge_index, every)
    return missing.at(np.arange(missing.count))


def pairs(edge_index):
    return set(map(tuple, edge_index.T.tolist()))


@pytest.mark.parametrize("size", [GRAPH.num_edges, 10**6])
@pytest.mark.parametrize("room", [1, 2, 100])
def test_the_largest_gradients_are_found_whatever_the_blocks(monkeypatch, size, room):
    monkeypatch.setattr(gradient_growth, "_BLOCK", size)
    edges = missing_edges()
    (gradient,) = probe([UnitGraph(edges, *COUNTS)], seed=3)
    expected, into = [], torch.zeros(GRAPH.num_units, dtype=torch.long)
    for position in gradient.abs().argsort(descending=True).tolist():
        target = edges[1, position]
        if into[target] < room and len(expected) < 20:
            into[target] += 1
            expected.append(position)
    found = GROWTHS["gradient"].edges(asked(20, room, seed=3))
    assert torch.equal(found, edges[:, expected])


@pytest.mark.parametrize("name", GROWTHS)
def test_no_more_than_there_is_room_for_or_is_missing(name):
    every = GROWTHS[name].edges(asked(10**4))
    assert pairs(every) == pairs(missing_edges())
    assert every.size(1) == len(pairs(every))
    found = GROWTHS[name].edges(asked(10**4, room=2))
    into = torch.bincount(found[1], minlength=GRAPH.num_units)[GRAPH.num_inputs :]
    missing = torch.bincount(missing_edges()[1], minlength=GRAPH.num_units)[GRAPH.num_inputs :]
    assert torch.equal(into, missing.clamp(max=2))
    assert GROWTHS[name].edges(asked(0)).shape == (2, 0)


def test_random_edges_are_equally_likely():
    number = missing_edges().size(1)
    counts = dict.fromkeys(pairs(missing_edges()), 0)
    rounds = 400
    for seed in range(rounds):
        for pair in pairs(GROWTHS["random"].edges(asked(number // 2, seed=seed))):
            counts[pair] += 1
    # Of so many binomial numbers, all are within five standard deviations.
    assert all(abs(count - rounds / 2) < 5 * (rounds / 4) ** 0.5 for count in counts.values())
    first, again = (GROWTHS["random"].edges(asked(5, seed=7)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("size", [1, 10**6])
@pytest.mark.parametrize("room", [1, 100])
def test_local_edges_are_those_that_most_paths_speak_for(monkeypatch, size, room):
    monkeypatch.setattr(local_growth, "_BLOCK", size)
    sends = pairs(GRAPH.edge_index)
    into, out_of = (torch.bincount(ends, minlength=COUNTS[0]) for ends in GRAPH.edge_index.flip(0))

    def paths(source, target):
        return sum(
            float(into[a] * out_of[b]) ** -0.5
            for a, b in product(range(COUNTS[0]), repeat=2)
            if {(source, a), (b, a), (b, target)} <= sends
        )

    score = {pair: paths(*pair) for pair in pairs(missing_edges())}
    number = 10
    found = GROWTHS["local"].edges(asked(number, room))
    scores = [score[pair] for pair in map(tuple, found.T.tolist())]
    assert scores == sorted(scores, reverse=True)
    best = sorted(score.values(), reverse=True)
    if room == 100:
        assert scores == pytest.approx(best[:number])
    else:  # The best one into every unit.
        into_unit = {
            target: max(score[pair] for pair in score if pair[1] == target) for _, target in score
        }
        assert scores == pytest.approx(sorted(into_unit.values(), reverse=True)[:number])
        assert len(set(found[1].tolist())) == number


def test_where_no_path_leads_local_edges_are_random():
    graph = UnitGraph(torch.tensor([[0, 1, 2, 3], [2, 3, 4, 4]]), 5, 2, 1)
    possible, room = PossibleEdges(graph), np.full(5, 9)
    drawn = {
        pair
        for seed in range(20)
        for pair in pairs(GROWTHS["local"].edges(Growing(graph, possible, room, 1, None, seed)))
    }
    assert drawn == {(0, 3), (1, 2)}


def test_the_best_are_taken_while_there_is_room():
    score, target = np.array([1.0, 5.0, 4.0, 3.0, 2.0]), np.array([0, 1, 1, 1, 0])
    assert take_best(score, target, np.array([1, 2]), 5).tolist() == [1, 2, 4]
    assert take_best(score, target, np.array([1, 2]), 2).tolist() == [1, 2]
    assert take_best(score, target, np.array([0, 0]), 2).tolist() == []
