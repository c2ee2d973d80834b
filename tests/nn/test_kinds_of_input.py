"""Tensors of other kinds than a layer computes with: what was expected, what came, the remedy."""

import pytest
import torch

from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.partition import balance_loss, ncut_loss, normalized_cut
from tests.strategies import generator, normal

LABELS = torch.tensor([-1] * 3 + [0, 1] * 2 + [-1] * 2)


def jagged(x):
    return torch.nested.nested_tensor(list(x), layout=torch.jagged)


def nested(x):
    return torch.nested.nested_tensor(list(x))


def quantized(x):
    return torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8)


KINDS = {
    "coo": (torch.Tensor.to_sparse, r"layout torch.sparse_coo\). Use {}\.to_dense"),
    "csr": (torch.Tensor.to_sparse_csr, r"layout torch.sparse_csr\). Use {}\.to_dense"),
    "mkldnn": (lambda x: x.float().to_mkldnn(), r"layout torch._mkldnn\). Use {}\.to_dense"),
    "nested": (nested, r"a nested one\). Use torch.nested.to_padded_tensor\({}, 0.0\)"),
    "jagged": (jagged, r"a nested one\).* {}\.values\(\) of a jagged one"),
    "quantized": (quantized, r"a quantized one, torch.quint8\). Use {}\.dequantize"),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype"),
    pytest.mark.filterwarnings("ignore:.*quantize_per_tensor"),
]
kinds = pytest.mark.parametrize(("make", "message"), KINDS.values(), ids=KINDS)


def new_layer():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), Unrolled(2), dtype=torch.float64)
    layer.reset_parameters(generator(0))
    return layer


def modular(execution):
    return ModularGraph(split(cut(new_layer(), LABELS)), execution=execution)


@kinds
def test_inputs_that_are_not_dense_are_refused_at_every_entry(make, message):
    layer = new_layer()
    x = make(normal(4, 3))
    for call in (layer, layer.states, layer.solve, modular("loop"), modular("batched")):
        with pytest.raises(TypeError, match=message.format("x")):
            call(x)
    with pytest.raises(TypeError, match=message.format("states")):
        layer.step(make(normal(4, 9)))


@kinds
def test_edges_weights_and_labels_that_are_not_dense_are_refused(make, message):
    graph = UnitGraph.complete(3, 4, 2)
    weight, assignment = normal(graph.num_edges), torch.full((9, 2), 0.5, dtype=torch.float64)
    with pytest.raises(TypeError, match=message.format("assignment")):
        ncut_loss(graph.edge_index, weight, make(assignment))
    with pytest.raises(TypeError, match=message.format("assignment")):
        balance_loss(make(assignment))
    # A sparse one has another remedy, below.
    of_edges = message.format("edge_index").split(" Use edge_index")[0]
    with pytest.raises(TypeError, match="edge_index to be a plain, dense Tensor .*" + of_edges):
        UnitGraph(make(graph.edge_index), 9, 3, 2)
    if make not in (torch.Tensor.to_sparse_csr, nested, jagged):  # They have no vectors.
        with pytest.raises(TypeError, match=message.format("edge_weight")):
            ncut_loss(graph.edge_index, make(weight), assignment)
    with pytest.raises(TypeError, match=r"labels to be a plain, dense .*labels\.to_dense"):
        cut(new_layer(), LABELS.to_sparse())


def test_a_sparse_adjacency_is_told_how_to_become_an_edge_index():
    adjacency = torch.eye(9, dtype=torch.long).to_sparse()
    with pytest.raises(TypeError, match=r"Use torch_geometric.utils.to_edge_index\(adjacency\)"):
        UnitGraph(adjacency, 9, 3, 2)


@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.float32])
def test_other_numbers_are_refused_with_the_dtype_of_the_layer(dtype):
    for model in (new_layer(), modular("loop"), modular("batched")):
        with pytest.raises(TypeError, match=rf"got {dtype}\). Use x.to\(torch.float64\)"):
            model(torch.ones(2, 3, dtype=dtype))


def test_complex_numbers_are_not_told_to_lose_their_imaginary_parts():
    x = torch.ones(2, 3, dtype=torch.complex128)
    with pytest.raises(TypeError, match=r"got torch.complex128\). Use x.abs\(\), or torch.view_as"):
        new_layer()(x)
    edge_index = torch.tensor([[0], [1]])
    with pytest.raises(TypeError, match=r"real numbers \(got torch.complex128\).*weight.abs"):
        ncut_loss(edge_index, x[0, :1], torch.full((2, 2), 0.5))
    with pytest.raises(TypeError, match=r"real numbers \(got torch.bool\).*weight.float"):
        normalized_cut(edge_index, torch.tensor([True]), torch.tensor([0, 1]))


def test_what_is_on_meta_is_not_told_to_be_copied():
    for model in (new_layer(), modular("loop"), modular("batched")):
        with pytest.raises(ValueError, match=r"on device cpu, .* \(got meta\). It has no values"):
            model(normal(2, 3).to("meta"))
    edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"edge_index with values \(got it on device meta\)"):
        UnitGraph(edge_index.to("meta"), 2, 0, 0)
    with pytest.raises(ValueError, match=r"labels with values \(got it on device meta\)"):
        cut(new_layer(), LABELS.to("meta"))
    assignment = torch.full((2, 2), 0.5)
    with pytest.raises(ValueError, match=r"edge_weight on device cpu, .* \(got meta\)"):
        ncut_loss(edge_index, torch.ones(1, device="meta"), assignment)
    with pytest.raises(ValueError, match=r"edge_weight on device meta, .* \(got cpu\)"):
        ncut_loss(edge_index, torch.ones(1), assignment.to("meta"))
