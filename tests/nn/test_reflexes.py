"""What users of PyG type by reflex gets a useful answer."""

import numpy
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv, Sequential, to_hetero

from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, cut, prune_cross_edges, split

EDGES = torch.tensor([[0, 1], [1, 2]])
LABELS = [-1, -1, -1, 0, 0, 1, 1, -1]


def new_layer():
    return SynchronousGraph(UnitGraph.complete(3, 4, 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.rand(5, 3), EDGES), TypeError, r"x alone \(got 1 more\).*conv\(x, edge_index\)"),
        ((Data(torch.rand(5, 3), EDGES),), TypeError, r"got Data\).*layer\(data.x\)"),
        (([[1.0, 2.0, 3.0]],), TypeError, r"got list\).*torch.as_tensor"),
        ((numpy.ones((2, 3)),), TypeError, r"got ndarray\).*torch.as_tensor"),
        ((torch.rand(5, 7),), ValueError, r"\[\*, 3\].*got \[5, 7\]\).*Make the graph for it"),
        ((torch.rand(5, 1, 3, 1),), ValueError, r"got \[5, 1, 3, 1\]\). Use x.flatten\(1\)"),
    ],
)
def test_calls_by_reflex_are_told_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        new_layer()(*arguments)


def test_to_hetero_of_the_layer_itself_is_told_where_to_put_it():
    class Model(nn.Module):
        def __init__(self, update):
            super().__init__()
            self.conv, self.update = SAGEConv((3, 3), 3), update

        def forward(self, x, edge_index):
            return self.update(self.conv(x, edge_index))

    edge_types = [("a", "to", "b"), ("b", "to", "a")]
    x = {"a": torch.rand(3, 3), "b": torch.rand(3, 3)}
    edge_index = dict.fromkeys(edge_types, EDGES)
    metadata = ["a", "b"], edge_types
    with pytest.raises(TypeError, match=r"got tuple\)\. If to_hetero .*Sequential\('x', "):
        to_hetero(Model(new_layer()), metadata)(x, edge_index)
    inside = Sequential("x", [(new_layer(), "x -> x")])
    assert to_hetero(Model(inside), metadata)(x, edge_index)["b"].shape == (3, 1)


@pytest.mark.parametrize(
    "labels", [LABELS, tuple(LABELS), numpy.array(LABELS), numpy.array(LABELS, dtype=numpy.int8)]
)
def test_labels_may_be_lists_and_arrays(labels):
    layer, expected = new_layer(), torch.tensor(LABELS)
    assert torch.equal(cut(layer, labels).labels, expected)
    pruned = prune_cross_edges(new_layer(), labels).edge_mask
    assert torch.equal(pruned, prune_cross_edges(new_layer(), expected).edge_mask)


@pytest.mark.parametrize("labels", [[0.5] * 8, ["a"] * 8, numpy.ones(8, dtype=bool), []])
def test_other_labels_are_refused(labels):
    with pytest.raises(TypeError, match=r"labels to be a LongTensor"):
        cut(new_layer(), labels)


def test_models_are_loaded_where_they_are_wanted(tmp_path):
    layer = cut(new_layer(), LABELS)
    layer.save(tmp_path / "layer")
    assert SynchronousGraph.load(tmp_path / "layer").device.type == "cpu"
    assert SynchronousGraph.load(tmp_path / "layer", device="meta").device.type == "meta"
    parts = ModularGraph.load(tmp_path / "layer", device="meta").parts
    assert [part.device.type for part in parts] == ["meta"] * len(split(layer))
