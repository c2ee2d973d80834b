import networkx
import pytest
import torch
from hypothesis import given
from torch_geometric.data import Data

from pyg_modules import UnitGraph
from tests.strategies import unit_graphs


@given(unit_graphs())
def test_data_round_trip_keeps_everything(graph):
    data = graph.to_data()
    assert data.num_nodes == graph.num_units
    assert UnitGraph.from_data(data) == graph


@given(unit_graphs())
def test_networkx_round_trip_keeps_units_roles_and_edges(graph):
    restored = UnitGraph.from_networkx(graph.to_networkx())
    assert restored.num_units == graph.num_units
    assert (restored.inputs, restored.hidden) == (graph.inputs, graph.hidden)
    assert sorted(restored.edge_index.T.tolist()) == sorted(graph.edge_index.T.tolist())


def test_networkx_nodes_are_numbered_by_role():
    source = networkx.DiGraph([("x", "h"), ("h", "g"), ("g", "h"), ("h", "y")])
    for node, role in {"y": "output", "h": "hidden", "x": "input", "g": "hidden"}.items():
        source.nodes[node]["role"] = role
    graph = UnitGraph.from_networkx(source)
    # x is 0; h comes before g in the node order: 1 and 2; y is 3.
    assert set(map(tuple, graph.edge_index.T.tolist())) == {(0, 1), (1, 2), (2, 1), (1, 3)}
    assert (graph.num_inputs, graph.num_hidden, graph.num_outputs) == (1, 2, 1)


def test_bad_data_is_refused():
    with pytest.raises(ValueError, match=r"num_inputs, num_outputs.*data.num_inputs = 64"):
        UnitGraph.from_data(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))


def test_bad_networkx_graphs_are_refused():
    with pytest.raises(TypeError, match=r"DiGraph \(got Graph\).*to_directed"):
        UnitGraph.from_networkx(networkx.Graph())
    with pytest.raises(TypeError, match=r"DiGraph \(got list\)"):
        UnitGraph.from_networkx([(0, 1)])
    with pytest.raises(ValueError, match=r"role.*got None on node 0"):
        UnitGraph.from_networkx(networkx.DiGraph([(0, 1)]))
    listed = networkx.DiGraph()
    listed.add_node(0, role=["input"])
    with pytest.raises(ValueError, match=r"role.*got \['input'\] on node 0"):
        UnitGraph.from_networkx(listed)
