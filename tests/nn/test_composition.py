from copy import deepcopy

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import RandomNodeLoader
from torch_geometric.nn import GCNConv, GINConv, GINEConv, SAGEConv, Sequential, summary, to_hetero
from torch_geometric.utils import get_num_hops

from pyg_modules import SynchronousGraph, UnitGraph, cut, partition_units
from tests.strategies import normal

EDGES = torch.tensor([[0, 1, 2, 3, 4, 4, 0], [1, 2, 3, 4, 0, 2, 2]])


class Update(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(3, 4)
        self.update = SynchronousGraph(UnitGraph.complete(4, 6, 2), activation="tanh")

    def forward(self, x, edge_index):
        return self.update(self.conv(x, edge_index).relu())


class Cut(Update):
    def __init__(self):
        super().__init__()
        labels = torch.tensor([-1] * 4 + [0, 1] * 3 + [-1] * 2)
        self.update = cut(self.update, labels)


def in_gin():
    return GINConv(SynchronousGraph(UnitGraph.complete(3, 4, 2)), train_eps=True)


def in_sequential():
    layer = SynchronousGraph(UnitGraph.complete(4, 6, 2))
    convolution = (SAGEConv(3, 4), "x, edge_index -> x")
    return Sequential("x, edge_index", [convolution, nn.ReLU(), layer])


def test_a_convolution_that_asks_for_the_channels_finds_them():
    # It adds a map of the features of edges to as many as the network takes.
    convolution = GINEConv(SynchronousGraph(UnitGraph.complete(3, 4, 2)), edge_dim=5)
    assert (convolution.lin.in_channels, convolution.lin.out_channels) == (5, 3)
    assert convolution(torch.rand(5, 3), EDGES, torch.rand(7, 5)).shape == (5, 2)
    assert convolution.nn.out_channels == 2


models = pytest.mark.parametrize("make", [in_gin, in_sequential, Update, Cut])


def test_gin_with_the_layer_of_an_mlp_is_gin_with_the_mlp():
    mlp = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    of_mlp = GINConv(mlp, eps=0.3, train_eps=True).double()
    of_layer = deepcopy(of_mlp)
    # Not before: a convolution draws the parameters of the network that it is given.
    of_layer.nn = SynchronousGraph.from_mlp(of_mlp.nn)
    results = []
    for convolution in (of_layer, of_mlp):
        x = normal(5, 3).requires_grad_()
        outputs = convolution(x, EDGES)
        outputs.square().sum().backward()
        results.append((outputs, x.grad, convolution.eps.grad))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)
    for name in ("weight", "bias"):
        expected = torch.cat([getattr(linear, name).grad.flatten() for linear in mlp[::2]])
        gradient = getattr(of_layer.nn, name).grad
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


@models
def test_a_state_dict_is_all_that_another_model_needs(make):
    model, other = make(), make()
    x = torch.rand(5, 3)
    assert not torch.equal(other(x, EDGES), model(x, EDGES))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x, EDGES), model(x, EDGES))


@models
def test_a_deep_copy_is_the_same_function_with_its_own_parameters(make):
    model = make()
    copied = deepcopy(model)
    x = torch.rand(5, 3)
    expected = model(x, EDGES)
    assert torch.equal(copied(x, EDGES), expected)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    assert torch.equal(model(x, EDGES), expected)
    assert not torch.equal(copied(x, EDGES), expected)


@pytest.mark.parametrize("make", [in_sequential, Update, Cut])
def test_the_summary_counts_the_parameters_of_the_layer(make):
    pytest.importorskip("tabulate", reason="torch_geometric.nn.summary needs tabulate")
    model = make()
    (layer,) = (module for module in model.modules() if isinstance(module, SynchronousGraph))
    (row,) = (
        line
        for line in summary(model, torch.rand(5, 3), EDGES).splitlines()
        if "SynchronousGraph" in line
    )
    cells = [cell.strip() for cell in row.split("|")]
    assert f"{sum(parameter.numel() for parameter in layer.parameters()):,}" in cells


def test_mini_batches_of_random_nodes_add_up_to_the_whole_graph():
    data = Data(normal(10, 4), EDGES, y=normal(10, 2), node=torch.arange(10))
    layer = SynchronousGraph(UnitGraph.complete(4, 6, 2), dtype=torch.float64)

    def outputs_and_gradients(batch):
        outputs = layer(batch.x)
        loss = (outputs - batch.y).square().sum()
        return outputs, torch.autograd.grad(loss, list(layer.parameters()))

    expected, expected_gradients = outputs_and_gradients(data)
    sums = [torch.zeros_like(parameter) for parameter in layer.parameters()]
    seen = []
    for batch in RandomNodeLoader(data, num_parts=3, shuffle=True):
        outputs, gradients = outputs_and_gradients(batch)
        torch.testing.assert_close(outputs, expected[batch.node])
        sums = [a + b for a, b in zip(sums, gradients, strict=True)]
        seen += batch.node.tolist()
    assert sorted(seen) == list(range(10))
    torch.testing.assert_close(tuple(sums), expected_gradients)


def test_to_hetero_copies_a_gin_convolution_with_its_layer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = in_gin()

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    edge_types = [("a", "to", "b"), ("b", "to", "a"), ("a", "in", "a")]
    x = {"a": torch.rand(5, 3), "b": torch.rand(5, 3)}
    edge_index = dict.fromkeys(edge_types, EDGES)
    model = to_hetero(Model(), (["a", "b"], edge_types))
    outputs = model(x, edge_index)
    conv = model.conv
    assert not torch.equal(conv.a__to__b.nn.weight, conv.b__to__a.nn.weight)
    assert torch.equal(outputs["b"], conv.a__to__b((x["a"], x["b"]), EDGES))
    expected = conv.b__to__a((x["b"], x["a"]), EDGES) + conv.a__in__a(x["a"], EDGES)
    assert torch.equal(outputs["a"], expected)


def test_an_explanation_leaves_the_layer_as_it_was():
    model, x = Update(), torch.rand(5, 3)
    keys, expected = list(model.state_dict()), model(x, EDGES)
    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    explainer = Explainer(
        model,
        GNNExplainer(epochs=3),
        "model",
        config,
        node_mask_type="attributes",
        edge_mask_type="object",
    )
    mask = explainer(x, EDGES, index=2).edge_mask
    # GCNConv looks at the edges into node 2 alone; the layer after it at none.
    assert (mask[EDGES[1] != 2] == 0).all()
    assert (mask[EDGES[1] == 2] > 0).all()
    assert list(model.state_dict()) == keys
    assert torch.equal(model(x, EDGES), expected)
    assert model.update.step(torch.zeros(2, 12)).shape == (2, 12)


def test_an_explainer_counts_a_hop_too_many_and_finds_the_right_edges_and_nodes():
    model = Update()
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    # PyG counts modules by their class; there is nothing that the layer could say.
    assert get_num_hops(model) == 2
    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    masks = {"node_mask_type": "object", "edge_mask_type": "object"}
    explainer = Explainer(model, GNNExplainer(epochs=3), "model", config, **masks)
    explanation = explainer(torch.rand(5, 3), path, index=3)
    assert (explanation.edge_mask > 0).tolist() == [False, False, True, False]
    assert (explanation.node_mask[:, 0] > 0).tolist() == [False, False, True, True, False]


def test_a_cut_layer_takes_the_place_of_the_layer_in_a_model():
    model, x = Update().double(), normal(5, 3)
    update = model.update
    kept = cut(update, partition_units(update, 2))
    model.update = kept
    zeroed = deepcopy(update)
    pairs = {tuple(edge) for edge in kept.graph.edge_index.T.tolist()}
    is_kept = torch.tensor([tuple(edge) in pairs for edge in update.graph.edge_index.T.tolist()])
    with torch.no_grad():
        zeroed.weight.mul_(is_kept)
    expected = zeroed(model.conv(x, EDGES).relu())
    torch.testing.assert_close(model(x, EDGES), expected, rtol=0, atol=1e-12)
    assert sum(parameter.numel() for parameter in model.update.parameters()) == is_kept.sum() + 8
