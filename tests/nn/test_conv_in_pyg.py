"""SynchronousConv wherever PyG and torch put a convolution."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.explain import Explainer, GNNExplainer, GraphMaskExplainer
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import (
    GCN,
    DirGNNConv,
    GCNConv,
    MessagePassing,
    SAGEConv,
    Sequential,
    to_hetero,
    to_hetero_with_bases,
)
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import k_hop_subgraph, to_torch_csr_tensor

from pyg_modules import (
    Equilibrium,
    SynchronousConv,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    partition_units,
    prune_cross_edges,
)
from tests.nn.test_synchronous_conv import EDGES, NUM_NODES, SMALL, conv_of
from tests.strategies import generator, normal

EQUILIBRIUM = Equilibrium(tol=1e-12, contraction=0.8)


def weights(seed=3):
    return torch.rand(EDGES.size(1), dtype=torch.float64, generator=generator(seed))


# What an edge_index may be ##################################################################


def test_an_edge_index_of_pyg_and_other_integers_are_the_same():
    layer, x = conv_of(), normal(NUM_NODES, 3)
    expected = layer(x, EDGES)
    sorted_edges = EDGES[:, torch.argsort(EDGES[0], stable=True)]
    typed = EdgeIndex(sorted_edges, sparse_size=(NUM_NODES, NUM_NODES), sort_order="row")
    torch.testing.assert_close(layer(x, typed), expected, rtol=0, atol=1e-12)
    assert torch.equal(layer(x, EDGES.int()), expected)


def test_what_messages_are_is_not_left_out_without_a_word():
    graph_layer, conv, x = SynchronousGraph(SMALL), conv_of(), normal(NUM_NODES, 3)
    hook = conv.register_message_forward_hook(lambda *_: None)
    with pytest.raises(
        ValueError, match=r"messages of a SynchronousConv \(got hooks, .*layer.step"
    ):
        conv(x, EDGES)
    hook.remove()
    hook = graph_layer.register_propagate_forward_pre_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"messages of a SynchronousGraph \(got hooks"):
        graph_layer(x.float())
    conv.flow = "target_to_source"
    with pytest.raises(ValueError, match=r"'source_to_target' \(got 'target_to_source'\).*flip"):
        conv(x, EDGES)

    class Halved(SynchronousConv):
        def message(self, x_j, edge_weight):
            return super().message(x_j, edge_weight) / 2

    class Named(SynchronousConv):
        pass

    with pytest.raises(ValueError, match="another method message"):
        Halved(SMALL)(x.float(), EDGES)
    assert Named(SMALL)(x.float(), EDGES).shape == (NUM_NODES, 2)


def test_relations_with_bases_are_refused():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SynchronousConv(SMALL, normalize=False)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    relations = [("a", "one", "a"), ("a", "other", "a")]
    model = to_hetero_with_bases(Model(), (["a"], relations), num_bases=2)
    with pytest.raises(ValueError, match="hooks, as to_hetero_with_bases registers"):
        model({"a": torch.rand(4, 3)}, dict.fromkeys(relations, torch.tensor([[0, 1], [1, 2]])))


def test_settings_of_the_adjacency_are_those_of_a_gcn():
    layer, x = conv_of(bias=False), normal(NUM_NODES, 3)
    layer.add_self_loops = False
    expected = conv_of(bias=False, add_self_loops=False)(x, EDGES)
    assert torch.equal(layer(x, EDGES), expected)
    layer.normalize = False
    assert torch.equal(layer(x, EDGES), conv_of(bias=False, normalize=False)(x, EDGES))
    with pytest.raises(ValueError, match="no add_self_loops=True with normalize=False"):
        layer.add_self_loops = True
    with pytest.raises(ValueError, match="normalize to be True, False or 'mean'"):
        layer.normalize = "sum"
    assert (layer.normalize, layer.add_self_loops) == (False, False)
    # It switches self-loops off, of both directions.
    directed = DirGNNConv(conv_of(bias=False), root_weight=False)
    with torch.no_grad():
        directed.conv_in.weight[:, 0] = directed.conv_out.weight[:, 0] = 0
    assert not directed(x, torch.empty(2, 0, dtype=torch.long)).any()


def test_an_average_that_was_made_before_a_pruning_keeps_its_neighbours():
    looks = (SMALL.edge_index[0] >= 3) & (SMALL.edge_index[1] < 8)
    conv = conv_of(neighbours=looks)
    average = AveragedModel(conv, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    average.update_parameters(conv)
    prune_cross_edges(conv, partition_units(conv, 2))
    average.update_parameters(conv)
    assert torch.equal(average.module.neighbours, looks)
    assert torch.equal(conv.neighbours, looks)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (4,)])
def test_outputs_are_contiguous_as_of_other_layers(bias, lead):
    x = normal(*lead, NUM_NODES, 3)
    outputs = conv_of(bias=bias)(x, EDGES)
    assert outputs.is_contiguous()
    assert not outputs._is_view()
    assert SynchronousGraph(SMALL, dtype=torch.float64)(x).is_contiguous()


@pytest.mark.parametrize("normalize", [True, False, "mean"])
def test_along_edges_of_weight_0_nothing_is_heard(normalize):
    solver = Equilibrium(tol=1e-4, contraction=0.95)
    layer = conv_of(solver=solver, bias=False, normalize=normalize)
    ring = torch.stack([torch.arange(6), torch.arange(1, 7) % 6])
    # A large state, which would make those of all others small beside it.
    x = torch.cat([1e-4 * normal(6, 3), 100 * torch.ones(1, 3, dtype=torch.float64)])
    without = torch.stack([torch.full((6,), 6), torch.arange(6)])
    weight = torch.tensor([1.0] * 6 + [0.0] * 6, dtype=torch.float64)
    weight.requires_grad_()
    found = layer.solve(x, torch.cat([ring, without], dim=1), weight)
    expected = layer.solve(x, ring)
    assert found.steps == expected.steps
    torch.testing.assert_close(found.states, expected.states)
    layer(x, torch.cat([ring, without], dim=1), weight).square().sum().backward()
    assert weight.grad[6:].ne(0).all()  # It may become an edge.


@pytest.mark.parametrize("normalize", [True, False, "mean"])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Sparse invariant checks")
def test_a_transposed_adjacency_matrix_of_torch(normalize):
    layer, x = conv_of(normalize=normalize), normal(NUM_NODES, 3)
    edges = EDGES.unique(dim=1)  # A matrix holds no edge twice.
    weight = torch.rand(edges.size(1), dtype=torch.float64)
    expected = layer(x, edges, weight)
    size = (NUM_NODES, NUM_NODES)
    for adj_t in (
        to_torch_csr_tensor(edges.flip(0), weight, size),
        torch.sparse_coo_tensor(edges.flip(0), weight, size, is_coalesced=True),
    ):
        torch.testing.assert_close(layer(x, adj_t), expected, rtol=0, atol=1e-12)
    for ones in (torch.ones(edges.size(1), dtype=kind) for kind in (torch.long, torch.bool)):
        adj_t = torch.sparse_coo_tensor(edges.flip(0), ones, size)
        torch.testing.assert_close(layer(x, adj_t), layer(x, edges), rtol=0, atol=1e-12)
    counts = torch.sparse_coo_tensor(edges.flip(0), 100_003 * ones.long(), size)
    expected = layer(x, edges, 100_003.0 * ones.double())
    torch.testing.assert_close(layer(x, counts), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Sparse invariant checks")
def test_an_adjacency_matrix_is_refused_by_what_is_compiled(layout):
    layer, x = conv_of(), normal(NUM_NODES, 3)
    adj_t = torch.eye(NUM_NODES, dtype=torch.float64).to_sparse(layout=layout)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match=r"\[2, m\] under torch.compile.*Use .*to_edge_index"):
        torch.compile(layer, backend="eager")(x, adj_t)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_matrix_that_is_not_coalesced_is_left_as_it_is():
    layer, x = conv_of(normalize=False), normal(NUM_NODES, 3)
    weight = torch.rand(EDGES.size(1), dtype=torch.float64, requires_grad=True)
    size = (NUM_NODES, NUM_NODES)
    adj_t = torch.sparse_coo_tensor(EDGES.flip(0), weight, size)
    dense = adj_t.detach().clone().to_dense()
    outputs = layer(x, adj_t)
    torch.testing.assert_close(outputs, layer(x, EDGES, weight), rtol=0, atol=1e-12)
    assert not adj_t.is_coalesced()
    assert torch.equal(adj_t.detach().coalesce().to_sparse_csr().to_dense(), dense)
    expected = torch.autograd.grad(layer(x, EDGES, weight).sum(), weight)
    found = torch.autograd.grad(outputs.sum(), weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Sparse invariant checks")
def test_the_transform_of_pyg_that_makes_matrices():
    data = Data(normal(NUM_NODES, 3), EDGES.unique(dim=1))
    layer = conv_of()
    expected = layer(data.x, data.edge_index)
    with_matrix = ToSparseTensor()(data)
    # Unweighted edges have values of float32.
    torch.testing.assert_close(layer(with_matrix.x, with_matrix.adj_t), expected)


# How many graphs ############################################################################


@pytest.mark.parametrize("solver", [Unrolled(3), EQUILIBRIUM])
def test_graphs_of_a_batch_do_not_see_each_other(solver):
    layer = conv_of(solver=solver)
    graphs = [Data(normal(n, 3, seed=n), torch.randint(n, (2, 2 * n))) for n in (2, 5, 3)]
    batch = Batch.from_data_list(graphs)
    expected = torch.cat([layer(data.x, data.edge_index) for data in graphs])
    torch.testing.assert_close(layer(batch.x, batch.edge_index), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", [Unrolled(3), EQUILIBRIUM])
def test_several_samples_on_one_graph(solver):
    layer, x = conv_of(solver=solver), normal(4, 2, NUM_NODES, 3)
    expected = torch.stack([torch.stack([layer(one, EDGES) for one in two]) for two in x])
    torch.testing.assert_close(layer(x, EDGES), expected, rtol=0, atol=1e-10)
    assert layer.solve(x, EDGES).residual.shape == (4, 2)


def test_a_graph_without_nodes_or_without_edges():
    layer = conv_of()
    none = torch.empty(2, 0, dtype=torch.long)
    assert layer(normal(0, 3), none).shape == (0, 2)
    alone = layer(normal(4, 3), none)
    each = torch.cat([layer(node.unsqueeze(0), none) for node in normal(4, 3)])
    torch.testing.assert_close(alone, each, rtol=0, atol=1e-12)
    empty = conv_of(normalize=False)(normal(4, 3), none)
    assert bool(empty.isfinite().all())


@pytest.mark.parametrize("solver", [Unrolled(3), EQUILIBRIUM])
@pytest.mark.parametrize("shape", [(0, 3), (0, NUM_NODES, 3), (2, 0, 3), (2, 0, NUM_NODES, 3)])
def test_nothing_at_all_has_states_and_gradients_of_its_shape(solver, shape):
    layer, x = conv_of(solver=solver, normalize_states=True), normal(*shape).requires_grad_()
    edges = EDGES if shape[-2] else EDGES[:, :0]
    states = layer.solve(x, edges).states
    assert states.shape == layer.step(states, edges).shape == (*shape[:-1], 10)
    layer(x, edges).sum().backward()
    assert x.grad.shape == shape
    assert torch.equal(layer.weight.grad, torch.zeros_like(layer.weight))


def path_of(length):
    steps = torch.stack([torch.arange(length - 1), torch.arange(1, length)])
    return torch.cat([steps, steps.flip(0)], dim=1)


def test_the_neighborhood_that_the_updates_reach_is_all_that_counts():
    layer, x, edges = conv_of(solver=Unrolled(2)), normal(20, 3), path_of(20)
    # Two updates and the read-out reach three edges far; one more has the degrees of the last.
    nodes, inside, place, _ = k_hop_subgraph(8, 4, edges, relabel_nodes=True)
    found = layer(x[nodes], inside)[place]
    torch.testing.assert_close(found, layer(x, edges)[[8]], rtol=0, atol=1e-12)
    nodes, inside, place, _ = k_hop_subgraph(8, 2, edges, relabel_nodes=True)
    assert not torch.allclose(layer(x[nodes], inside)[place], layer(x, edges)[[8]])


@pytest.mark.skipif(
    not (WITH_PYG_LIB or WITH_TORCH_SPARSE),
    reason="NeighborLoader has no sampler without pyg-lib or torch-sparse",
)
@pytest.mark.filterwarnings("ignore:Using 'NeighborSampler' without a 'pyg-lib':UserWarning")
def test_batches_of_a_neighbor_loader():
    layer, data = conv_of(solver=Unrolled(2)), Data(normal(20, 3), path_of(20))
    expected = layer(data.x, data.edge_index)
    for batch in NeighborLoader(data, num_neighbors=[-1] * 4, batch_size=6):
        found = layer(batch.x, batch.edge_index)[: batch.batch_size]
        torch.testing.assert_close(found, expected[batch.input_id], rtol=0, atol=1e-12)


# Models of PyG ##############################################################################


def test_in_a_sequential_of_pyg_and_reset_with_it():
    layer = conv_of()
    model = Sequential("x, edge_index", [(layer, "x, edge_index -> x"), nn.Tanh()])
    x = normal(NUM_NODES, 3)
    assert torch.equal(model(x, EDGES), layer(x, EDGES).tanh())
    before = layer.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, layer.weight)


class BothSides(MessagePassing):
    """A convolution of one set of nodes, on edges from one set to another."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x, edge_index):
        if not isinstance(x, tuple):
            return self.conv(x, edge_index)
        source, target = x
        shifted = torch.stack([edge_index[0] + len(target), edge_index[1]])
        return self.conv(torch.cat([target, source]), shifted)[: len(target)]


def test_to_hetero_through_a_module_that_joins_both_sides():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = BothSides(conv_of())

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    data = HeteroData()
    data["author"].x, data["paper"].x = normal(4, 3), normal(6, 3, seed=1)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 3], [5, 2, 2]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1], [1, 4]])
    data["paper", "by", "author"].edge_index = torch.tensor([[5, 2], [0, 1]])
    model = to_hetero(Model(), data.metadata())
    out = model(data.x_dict, data.edge_index_dict)
    conv = model.conv["author__writes__paper"]
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "author": (4, 2),
        "paper": (6, 2),
    }
    expected = conv((data["author"].x, data["paper"].x), data["writes"].edge_index)
    cites = model.conv["paper__cites__paper"]
    expected = expected + cites.conv(data["paper"].x, data["cites"].edge_index)
    assert torch.equal(out["paper"], expected)


@pytest.mark.parametrize("solver", [Unrolled(3), EQUILIBRIUM])
def test_masks_of_explainers_weigh_messages_as_propagate_does(solver):
    layer, x = conv_of(solver=solver), normal(NUM_NODES, 3)
    mask = torch.rand(EDGES.size(1), dtype=torch.float64).requires_grad_()
    states = layer.states(x, EDGES)
    layer.explain = True
    layer._edge_mask, layer._loop_mask = mask, EDGES[0] != EDGES[1]
    layer._apply_sigmoid = False
    masked = layer.states(x, EDGES)
    assert not torch.allclose(masked, states)
    # One update of the definition, in which PyG itself applies the mask.
    if isinstance(solver, Equilibrium):
        torch.testing.assert_close(layer.step(masked, EDGES), masked, rtol=0, atol=1e-10)
    else:
        by_steps = torch.cat([x, torch.zeros(NUM_NODES, 7, dtype=torch.float64)], dim=1)
        for _ in range(4):
            hidden, by_steps = by_steps, layer.step(by_steps, EDGES)
        torch.testing.assert_close(masked[:, 3:8], hidden[:, 3:8], rtol=0, atol=1e-12)
        torch.testing.assert_close(masked[:, 8:], by_steps[:, 8:], rtol=0, atol=1e-12)
        (of_steps,) = torch.autograd.grad(by_steps[:, 8:].sum(), mask, retain_graph=True)
        (found,) = torch.autograd.grad(masked[:, 8:].sum(), mask)
        torch.testing.assert_close(found, of_steps, rtol=0, atol=1e-12)
    layer.explain = None


def explainer_of(model, algorithm):
    """An explainer of the class of a node by its features and by edges."""
    return Explainer(
        model=model,
        algorithm=algorithm,
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )


def test_an_explainer_finds_the_edges_that_matter():
    torch.manual_seed(0)
    layer = conv_of(dtype=torch.float32, solver=Unrolled(2))
    explainer = explainer_of(layer, GNNExplainer(epochs=20))
    explanation = explainer(normal(NUM_NODES, 3).float(), EDGES, index=0)
    # Node 0 is in a triangle with 1 and 2; what the others have never reaches it.
    reaches = (EDGES < 3).all(dim=0)
    assert bool((explanation.edge_mask[reaches] > 0).all())
    assert bool((explanation.edge_mask[~reaches] == 0).all())
    assert layer.explain is not True


def test_convolutions_that_were_explained_are_read():
    torch.manual_seed(0)
    gcn, x = GCN(3, 4, 2, 2).eval(), normal(NUM_NODES, 3).float()
    expected = gcn(x, EDGES)
    explainer = explainer_of(gcn, GNNExplainer(epochs=1))
    explainer(x, EDGES, index=0)
    torch.testing.assert_close(SynchronousConv.from_conv(gcn)(x, EDGES), expected)


def test_what_explains_without_a_mask_is_told_so():
    layer = conv_of()
    layer.explain = True
    with pytest.raises(ValueError, match=r"Expected an edge mask to explain with \(got None\)"):
        layer(normal(NUM_NODES, 3), EDGES)


def test_an_explainer_that_replaces_messages_is_refused():
    explainer = explainer_of(
        conv_of(dtype=torch.float32), GraphMaskExplainer(1, epochs=1, log=False)
    )
    with pytest.raises(ValueError, match=r"an explainer that masks edges .*Use GNNExplainer"):
        explainer(normal(NUM_NODES, 3).float(), EDGES, index=0)


# Transformations and copies #################################################################


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize(
    ("solver", "backend"),
    [(Unrolled(3), "auto"), (EQUILIBRIUM, "dense"), (Unrolled(5, checkpoint=True), "auto")],
)
def test_compiled_it_is_the_same_function_with_the_same_gradients(solver, backend):
    torch._dynamo.reset()
    layer, weight = conv_of(solver=solver, backend=backend), weights().requires_grad_()
    x = normal(NUM_NODES, 3).requires_grad_()
    compiled = torch.compile(layer, backend="aot_eager")
    inputs = (x, weight, layer.weight, layer.bias)
    outputs = [function(x, EDGES, weight) for function in (layer, compiled)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-11)
    gradients = [torch.autograd.grad(out.square().sum(), inputs) for out in outputs]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-9)
    # A graph of another size.
    x = normal(4, 3)
    edges = torch.tensor([[0, 3], [1, 2]])
    torch.testing.assert_close(compiled(x, edges), layer(x, edges), rtol=0, atol=1e-11)


def test_exported_it_takes_graphs_of_other_sizes():
    layer = conv_of(backend="dense")
    nodes, edges = torch.export.Dim("nodes", min=2), torch.export.Dim("edges", min=2)
    program = torch.export.export(
        layer,
        (normal(NUM_NODES, 3), EDGES, weights()),
        dynamic_shapes=({0: nodes}, {1: edges}, {0: edges}),
        strict=False,
    )
    x, other = normal(4, 3), torch.tensor([[0, 3, 1], [1, 2, 3]])
    weight = torch.tensor([0.2, 0.5, 2.0]).double()
    exported = program.module()(x, other, weight)
    torch.testing.assert_close(exported, layer(x, other, weight), rtol=0, atol=1e-12)


def test_transformations_of_torch_func_look_into_it():
    layer = conv_of(backend="dense", solver=Unrolled(3))
    x = normal(4, NUM_NODES, 3)
    each = torch.func.vmap(lambda one: layer(one, EDGES))(x)
    torch.testing.assert_close(each, layer(x, EDGES), rtol=0, atol=1e-12)
    jacobian = torch.func.jacrev(lambda one: layer(one, EDGES))(x[0])
    expected = torch.autograd.functional.jacobian(lambda one: layer(one, EDGES), x[0])
    torch.testing.assert_close(jacobian, expected, rtol=0, atol=1e-12)


def test_second_derivatives_where_messages_are_scattered():
    layer = conv_of(backend="scatter", solver=Unrolled(2))
    x = normal(3, 3).requires_grad_()
    edges = torch.tensor([[0, 1], [1, 2]])
    assert torch.autograd.gradgradcheck(lambda one: layer(one, edges), (x,))


def test_traced_by_fx_it_is_a_leaf():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv_of()

        def forward(self, x, edge_index):
            return self.conv(x, edge_index).tanh()

    model, x = Model(), normal(NUM_NODES, 3)
    assert torch.equal(torch.fx.symbolic_trace(model)(x, EDGES), model(x, EDGES))


def test_copies_are_the_same_function():
    mask = torch.rand(SMALL.num_edges) < 0.7
    layer = conv_of(neighbours=mask, normalize="mean", normalize_states=True, carry=True)
    x = normal(NUM_NODES, 3)
    expected = layer(x, EDGES)
    saved = io.BytesIO()
    torch.save(layer, saved)
    saved.seek(0)
    other = conv_of(seed=1, neighbours=~mask, normalize="mean", normalize_states=True)
    other.load_state_dict(layer.state_dict())
    for same in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(saved, weights_only=False),
        other,
    ):
        assert torch.equal(same(x, EDGES), expected)


def test_other_dtypes_and_autocast():
    layer = conv_of(dtype=torch.float32)
    x = normal(NUM_NODES, 3)
    expected = layer(x.float(), EDGES)
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        inside = layer(x.to(torch.bfloat16), EDGES, torch.ones(9, dtype=torch.bfloat16))
    rounded = layer(x.to(torch.bfloat16).float(), EDGES)
    assert torch.equal(inside, rounded)
    double = copy.deepcopy(layer).double()(x, EDGES)
    torch.testing.assert_close(double.float(), expected, rtol=1e-5, atol=1e-5)
    half = copy.deepcopy(layer).to(torch.bfloat16)(x.to(torch.bfloat16), EDGES)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("normalize", [True, False, "mean"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_many_neighbours_are_added_up_in_half_precision(normalize, dtype):
    leaf = torch.arange(1, 3001)
    edges = torch.stack([leaf, torch.zeros_like(leaf)])
    layer = conv_of(normalize=normalize, backend="scatter").to(dtype)
    wide = conv_of(normalize=normalize, dtype=torch.float64)
    wide.load_state_dict(layer.state_dict())
    x = torch.rand(3001, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    scale = torch.full((3000,), 1.0 if normalize else 1 / 3000, dtype=dtype)
    expected = wide(x.double(), edges, scale.double())[0]
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    for found in (layer(x, edges, scale)[0], compiled(x, edges, scale)[0]):
        torch.testing.assert_close(found.double(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("normalize", [True, "mean"])
def test_weights_are_normalized_before_they_are_rounded(scale, normalize):
    layer = conv_of(normalize=normalize, backend="scatter", dtype=torch.float32)
    x, weight = normal(NUM_NODES, 3).float(), scale * weights().float()
    expected = layer(x, EDGES, weight)
    half, states = copy.deepcopy(layer).half(), normal(NUM_NODES, layer.graph.num_units).half()
    torch.testing.assert_close(half(x.half(), EDGES, weight).float(), expected, rtol=0, atol=5e-3)
    following = half.step(states, EDGES, weight)
    assert following.dtype == torch.float16
    expected = layer.step(states.float(), EDGES, weight)
    torch.testing.assert_close(following.float(), expected, rtol=0, atol=5e-3)


def test_degrees_of_half_precision_do_not_overflow():
    layer = conv_of(normalize="mean", dtype=torch.float32, backend="scatter")
    leaf = torch.arange(1, 201)
    edges = torch.stack([leaf, torch.zeros_like(leaf)])
    x = torch.rand(201, 3, generator=torch.Generator().manual_seed(0))
    expected = layer(x, edges, torch.full((200,), 500.0))[0]
    half = copy.deepcopy(layer).half()(x.half(), edges, torch.full((200,), 500.0).half())[0]
    torch.testing.assert_close(half.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("normalize", [True, "mean"])
def test_weights_that_cannot_be_normalized_are_no_numbers_where_they_cannot_be_looked_at(normalize):
    layer, x = conv_of(normalize=normalize), normal(NUM_NODES, 3)
    weight = torch.ones(EDGES.size(1), dtype=torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, EDGES, weight), layer(x, EDGES, weight))
    weight[3] = -0.5
    with pytest.raises(ValueError, match=r"edge_weight >= 0 to be normalized \(got -0.5\)"):
        layer(x, EDGES, weight)
    assert bool(compiled(x, EDGES, weight)[EDGES[1, 3]].isnan().all())


def test_shapes_alone():
    layer = conv_of().to("meta")
    x, edges = normal(NUM_NODES, 3).to("meta"), EDGES.to("meta")
    assert layer(x, edges).shape == (NUM_NODES, 2)


def test_dropout_is_drawn_once_for_every_node_and_unit():
    layer = conv_of(dropout=0.5, solver=Equilibrium(1e-12, contraction=0.9))
    x = normal(NUM_NODES, 3)
    hidden = layer.states(x, EDGES)[:, 3:8]
    assert 5 < int((hidden == 0).sum()) < 30
    assert bool((layer.eval().states(x, EDGES)[:, 3:8] != 0).all())


@pytest.mark.parametrize("solver", [Unrolled(40), Equilibrium(1e-12, contraction=0.8)])
def test_every_unit_has_its_own_slope_and_rate_on_all_nodes(solver):
    layer = conv_of(
        solver=solver, activation=["prelu", "tanh", "prelu", "relu", "tanh"], learn_update_rate=True
    )
    with torch.no_grad():
        layer.dynamics.slope.copy_(torch.tensor([0.1, 1, 0.6, 1, 1]))
        layer.dynamics.rate.copy_(torch.tensor([0.9, 0.5, 0.7, 1.0, 0.6]))
        layer.weight *= 0.3
    x = normal(2, NUM_NODES, 3)
    states = layer.states(x, EDGES)
    torch.testing.assert_close(layer.step(states, EDGES), states, rtol=0, atol=1e-9)


# The same function as others ################################################################


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kwargs", [{}, {"normalize": False}, {"add_self_loops": False}])
def test_a_stack_of_graph_convolutions_is_a_layered_unit_graph(bias, kwargs):
    convs = [GCNConv(*sizes, bias=bias, **kwargs) for sizes in ((3, 6), (6, 4), (4, 2))]
    model = Sequential(
        "x, edge_index, edge_weight",
        [
            (convs[0], "x, edge_index, edge_weight -> x"),
            nn.ReLU(),
            nn.Dropout(0.5),
            (convs[1], "x, edge_index, edge_weight -> x"),
            nn.Tanh(),
            (convs[2], "x, edge_index, edge_weight -> x"),
        ],
    )
    model.double().eval()
    layer = SynchronousConv.from_conv(model)
    assert layer.graph.num_hidden == 10
    assert layer.solver == Unrolled(2)
    x, weight = normal(NUM_NODES, 3), weights()
    expected = model(x, EDGES, weight)
    torch.testing.assert_close(layer(x, EDGES, weight), expected, rtol=0, atol=1e-12)


def test_an_activation_at_several_places_of_a_stack_is_one_at_each():
    act, conv = nn.ReLU(inplace=True), "x, edge_index -> x"
    listed = [(GCNConv(3, 3), conv), act, (GCNConv(3, 3), conv), act, (GCNConv(3, 2), conv)]
    model, x = Sequential("x, edge_index", listed).double(), normal(NUM_NODES, 3)
    layer = SynchronousConv.from_conv(model)
    torch.testing.assert_close(layer(x, EDGES), model(x, EDGES), rtol=0, atol=1e-12)


def test_a_gcn_of_pyg_and_a_single_convolution():
    model = GCN(3, 8, num_layers=3, out_channels=2, act="tanh").double().eval()
    x = normal(NUM_NODES, 3)
    layer = SynchronousConv.from_conv(model)
    torch.testing.assert_close(layer(x, EDGES), model(x, EDGES), rtol=0, atol=1e-12)
    conv = GCNConv(3, 2).double()
    torch.testing.assert_close(SynchronousConv.from_conv(conv)(x, EDGES), conv(x, EDGES))


def test_modules_that_are_there_twice_are_used_twice():
    act, conv = nn.Tanh(), GCNConv(3, 3)
    steps = [(conv, "x, edge_index -> h"), act, (conv, "h, edge_index -> h"), act]
    last = GCNConv(3, 2)
    model = Sequential("x, edge_index, batch", [*steps, (last, "h, edge_index -> h")]).double()
    x = normal(NUM_NODES, 3)
    layer = SynchronousConv.from_conv(model)
    torch.testing.assert_close(layer(x, EDGES), model(x, EDGES, None), rtol=0, atol=1e-12)
    listed = SynchronousConv.from_conv(nn.Sequential(conv, act, conv, act, last))
    assert torch.equal(listed(x, EDGES), layer(x, EDGES))


def test_what_does_not_read_the_module_before_alone_is_refused():
    conv, act = GCNConv(3, 3), (nn.Tanh(), "h -> h")
    first = (conv, "x, edge_index -> h")
    refused = [
        [first, act, (conv, "x, edge_index -> h")],  # Not the activation.
        [first, act, (conv, "h, edge_index -> g"), (lambda h, g: h + g, "h, g -> h")],
        [first, (lambda h: h.tanh(), "h -> h"), (conv, "h, edge_index -> h")],
        [first, act, (conv, "h, edge_index, edge_weight -> h")],
        [(conv, "x, edge_index -> edge_index"), (conv, "edge_index, edge_index -> h")],
    ]
    for modules in refused:
        with pytest.raises(ValueError, match="reads what the one before returned"):
            SynchronousConv.from_conv(Sequential("x, edge_index, edge_weight", modules))


class TwiceAsMuch(GCN):
    """Computes something else with the modules of its base."""

    def forward(self, *args, **kwargs):
        return 2 * super().forward(*args, **kwargs)


def hooked(module, register="register_forward_hook"):
    getattr(module, register)(lambda *_: None)
    return module


def changed(conv, **attributes):
    for name, value in attributes.items():
        setattr(conv, name, value)
    return conv


def test_what_is_no_stack_of_graph_convolutions_is_refused_by_name():
    conv, relu = GCNConv(3, 3), nn.ReLU()
    refused = [
        ([conv, nn.BatchNorm1d(3), conv], ValueError, "BatchNorm1d"),
        ([conv, relu], ValueError, "GCNConv at the end"),
        ([relu, conv], ValueError, "after a GCNConv"),
        ([SAGEConv(3, 3)], ValueError, "GCNConv and activations alone .got SAGEConv"),
        ([nn.Sequential(conv)], ValueError, "one after the other"),
        ([], ValueError, "at least one GCNConv"),
        ([conv, relu, GCNConv(3, 3, improved=True)], ValueError, "improved"),
        ([conv, relu, GCNConv(3, 3, add_self_loops=False)], ValueError, "same add_self_loops"),
        ([conv, relu, GCNConv(4, 3)], ValueError, "as many inputs"),
        (GCNConv(-1, 3), ValueError, "Call the model once"),
        (GCN(3, 8, 2, norm="batch_norm"), ValueError, "without norm"),
        (TwiceAsMuch(3, 8, 2), TypeError, "TwiceAsMuch"),
        (GCNConv(3, 3, aggr="mean"), ValueError, "aggr='add' .got 'mean'"),
        (GCN(3, 8, 2, aggr="max"), ValueError, "aggr='add' .got 'max'"),
        (hooked(GCNConv(3, 3)), ValueError, "without hooks"),
        (hooked(GCNConv(3, 3), "register_message_forward_hook"), ValueError, "without hooks"),
        (hooked(GCNConv(3, 3), "register_propagate_forward_pre_hook"), ValueError, "hooks"),
        (hooked(GCN(3, 8, 2)), ValueError, "without hooks .got some on GCN"),
        ([conv, hooked(nn.ReLU()), conv], ValueError, "without hooks .got some on ReLU"),
        (changed(GCNConv(3, 3), lin=nn.Linear(3, 3)), ValueError, "a lin of its own"),
        (changed(GCNConv(3, 3), message=print), ValueError, "with a method"),
        (changed(GCNConv(3, 3), propagate=print), ValueError, "with a method"),
        (nn.Linear(3, 3), TypeError, "Linear"),
        (3, TypeError, "int"),
    ]
    for convs, kind, message in refused:
        with pytest.raises(kind, match=message):
            SynchronousConv.from_conv(convs)


def test_a_unit_graph_without_neighbours_is_the_layer_on_every_node():
    from pyg_modules import SynchronousGraph

    graph = UnitGraph.complete(3, 5, 2)
    layer = conv_of(graph, neighbours=torch.zeros(graph.num_edges, dtype=torch.bool))
    plain = SynchronousGraph(graph, activation="tanh", dtype=torch.float64)
    with torch.no_grad():
        plain.weight.copy_(layer.weight[:, 0])
        plain.bias.copy_(layer.bias)
    x = normal(NUM_NODES, 3)
    torch.testing.assert_close(layer(x, EDGES), plain(x), rtol=0, atol=1e-12)
