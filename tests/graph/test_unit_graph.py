import copy
import pickle

import numpy
import pytest
import torch

from pyg_modules import UnitGraph


def edge_set(graph: UnitGraph) -> set[tuple[int, int]]:
    return {(source, target) for source, target in graph.edge_index.T.tolist()}


EDGES = torch.tensor([[0, 1, 2, 2, 3], [1, 2, 1, 2, 1]])


def test_counts_and_roles_follow_the_ids():
    graph = UnitGraph(EDGES, num_units=5, num_inputs=1, num_outputs=2)
    assert (graph.num_units, graph.num_inputs, graph.num_hidden, graph.num_outputs) == (5, 1, 2, 2)
    assert (graph.inputs, graph.hidden, graph.outputs) == (range(1), range(1, 3), range(3, 5))
    assert graph.num_edges == 5
    assert repr(graph) == "UnitGraph(num_inputs=1, num_hidden=2, num_outputs=2, num_edges=5)"


def test_complete_has_exactly_the_documented_edges():
    graph = UnitGraph.complete(2, 3, 1)
    inputs, hidden, outputs = [0, 1], [2, 3, 4], [5]
    expected = {(i, h) for i in inputs for h in hidden}
    expected |= {(h, g) for h in hidden for g in hidden}
    expected |= {(h, o) for h in hidden for o in outputs}
    assert edge_set(graph) == expected
    assert graph.num_edges == len(expected)


def test_layered_connects_each_level_to_the_next():
    graph = UnitGraph.layered([2, 1, 2, 1])
    assert edge_set(graph) == {(0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5)}
    assert (graph.num_inputs, graph.num_hidden, graph.num_outputs) == (2, 3, 1)


def test_yoked_adds_cliques_without_self_loops_to_the_hidden_levels():
    layered, yoked = UnitGraph.layered([2, 3, 2]), UnitGraph.yoked([2, 3, 2])
    clique = {(i, j) for i in (2, 3, 4) for j in (2, 3, 4) if i != j}
    assert edge_set(yoked) == edge_set(layered) | clique
    assert yoked.num_edges == 2 * 3 + 3 * 2 + 3 * 2


def test_erdos_renyi_has_all_edges_or_none():
    assert UnitGraph.erdos_renyi(20, 50, 10, 1.0) == UnitGraph.complete(20, 50, 10)
    with pytest.warns(UserWarning, match="50 of 50 hidden units take no part"):
        assert UnitGraph.erdos_renyi(20, 50, 10, 0.0).num_edges == 0


def test_it_is_immutable_and_does_not_alias_the_callers_tensor():
    edges = EDGES.clone()
    graph = UnitGraph(edges, 5, 1, 2)
    edges[0, 0] = 4
    assert torch.equal(graph.edge_index, EDGES)
    with pytest.raises(AttributeError, match="immutable"):
        graph.num_units = 6
    with pytest.raises(AttributeError, match="immutable"):
        graph.colour = "red"
    with pytest.raises(AttributeError, match="immutable"):
        del graph.num_units


def test_copies_share_the_graph_and_pickles_are_equal():
    graph = UnitGraph(EDGES, 5, 1, 2)
    assert copy.deepcopy(graph) is graph
    assert copy.copy(graph) is graph
    restored = pickle.loads(pickle.dumps(graph))
    assert restored == graph
    assert hash(restored) == hash(graph)


def test_equality_depends_on_counts_and_edges():
    graph = UnitGraph(EDGES, 5, 1, 2)
    assert graph == UnitGraph(EDGES.int(), 5, 1, 2)
    assert graph != UnitGraph(EDGES, 6, 1, 2)
    assert graph != UnitGraph(EDGES.flip(1), 5, 1, 2)
    assert graph != "graph"


def test_the_same_units_with_other_edges():
    graph = UnitGraph.layered([2, 3, 1])
    edge_index = torch.tensor([[0, 4, 2], [2, 3, 5]])
    assert graph.with_edges(edge_index) == UnitGraph(edge_index, 6, 2, 1)
    assert graph == UnitGraph.layered([2, 3, 1])
    with pytest.raises(ValueError, match="edge"):
        graph.with_edges(torch.tensor([[0], [6]]))


def test_cached_values_are_built_once_per_key():
    graph = UnitGraph(EDGES, 5, 1, 2)
    calls = []

    def build():
        calls.append(1)
        return len(calls)

    assert [graph.cached("a", build), graph.cached("a", build), graph.cached("b", build)] == [
        1,
        1,
        2,
    ]


def test_a_single_unit_and_no_edges_are_a_graph():
    graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), 1, 0, 1)
    assert (graph.num_edges, graph.num_hidden) == (0, 0)


@pytest.mark.parametrize(
    ("edge_index", "counts", "error", "message"),
    [
        ([[0], [1]], (2, 1, 1), TypeError, r"LongTensor.*got list.*torch.tensor"),
        (EDGES.float(), (5, 1, 2), TypeError, r"torch.long.*got torch.float32.*\.long\(\)"),
        (EDGES.bool(), (5, 1, 2), TypeError, r"torch.long.*got torch.bool"),
        (EDGES[0], (5, 1, 2), ValueError, r"\[2, num_edges\].*got \[5\]"),
        (EDGES.T, (5, 1, 2), ValueError, r"\[2, num_edges\].*got \[5, 2\]"),
        (EDGES, (3, 1, 1), ValueError, r"\[0, 3\).*got 0 to 3.*num_units"),
        (EDGES - 1, (5, 1, 2), ValueError, r"\[0, 5\).*got -1 to 2"),
        (EDGES.flip(0), (5, 2, 2), ValueError, r"into an input.*got 1 -> 0.*hidden"),
        (EDGES[:, [0, 1, 0]], (5, 1, 2), ValueError, r"every edge once.*0 -> 1.*coalesce"),
        (EDGES, (5, 3, 3), ValueError, r"3 \+ 3 > 5"),
        (EDGES, (5, -1, 2), ValueError, r"num_inputs >= 0 \(got -1\)"),
        (EDGES, (5, 1, 2.0), TypeError, r"num_outputs to be an int \(got float"),
        (EDGES, (True, 1, 2), TypeError, r"num_units to be an int \(got bool"),
    ],
)
def test_bad_graphs_are_refused(edge_index, counts, error, message):
    with pytest.raises(error, match=message):
        UnitGraph(edge_index, *counts)


def test_integers_of_numpy_are_integers():
    graph = UnitGraph.complete(numpy.int64(2), 3, numpy.int32(1))
    assert graph == UnitGraph.complete(2, 3, 1)
    assert type(graph.num_inputs) is int


def test_bad_arguments_of_generators_are_refused():
    with pytest.raises(ValueError, match=r"two levels.*sizes=\[3\]"):
        UnitGraph.layered([3])
    with pytest.raises(ValueError, match=r"sizes\[1\] >= 0 \(got -1\)"):
        UnitGraph.yoked([3, -1, 2])
    with pytest.raises(ValueError, match=r"num_hidden >= 0"):
        UnitGraph.complete(3, -2, 1)
    with pytest.raises(ValueError, match=r"edge_prob in \[0, 1\] \(got 1.5\)"):
        UnitGraph.erdos_renyi(3, 2, 1, 1.5)
    with pytest.raises(TypeError, match="self_loops"):
        UnitGraph.complete(3, 2, 1, self_loops=False)
