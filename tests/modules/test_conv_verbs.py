"""All that is done with a SynchronousGraph, done with a SynchronousConv."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader as GraphLoader
from torch_geometric.nn import global_mean_pool

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousConv,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.report import plot_convergence
from pyg_modules.structure import rewire
from pyg_modules.train import Probe, fit, organise, partition_verdict
from tests.nn.test_synchronous_conv import EDGES, NUM_NODES, conv_of
from tests.strategies import generator, normal, seeds, stays_alive

GRAPH = UnitGraph.complete(4, 6, 2)
HIDDEN = torch.tensor([-1] * 4 + [0, 1, 1, 0, 2, 2] + [-1] * 2)
ALL = torch.tensor([0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1])
EQUILIBRIUM = Equilibrium(1e-12, contraction=0.9)


def layer_of(**kwargs):
    mask = torch.rand(GRAPH.num_edges, generator=generator(9)) < 0.8
    return conv_of(GRAPH, neighbours=mask, **kwargs)


@pytest.mark.parametrize("normalize_states", [False, True])
@pytest.mark.parametrize("is_of_one", [False, True])
def test_parts_that_are_cut_themselves_add_up_when_merged(normalize_states, is_of_one):
    layers = [conv_of(GRAPH, seed, normalize_states=normalize_states) for seed in (1, 2)]
    if is_of_one:
        layers = list(split(cut(layers[0], ALL)))
    num_hidden = layers[0].graph.num_hidden
    halves = torch.full((layers[0].graph.num_units,), -1)
    halves[layers[0].graph.num_inputs :][:num_hidden] = torch.arange(num_hidden) % 2
    parts = [cut(layers[0], halves), layers[1]]
    merged, x = merge(parts), normal(NUM_NODES, 4)
    expected = sum(part(x, EDGES) for part in parts)
    torch.testing.assert_close(merged(x, EDGES), expected, rtol=1e-12, atol=1e-12)
    assert int(merged.labels.max()) == 2
    assert len(split(merged)) == 3


@pytest.mark.parametrize("labels", [HIDDEN, ALL])
def test_pruned_it_divides_the_states_of_modules_apart_as_the_cut_layer_does(labels):
    layer, x = conv_of(GRAPH, normalize_states=True), normal(NUM_NODES, 4)
    expected = cut(layer, labels)(x, EDGES)
    pruned = prune_cross_edges(layer, labels)
    assert not torch.allclose(conv_of(GRAPH, normalize_states=True)(x, EDGES), expected)
    torch.testing.assert_close(pruned(x, EDGES), expected, rtol=1e-12, atol=1e-12)
    nn.utils.vector_to_parameters(
        nn.utils.parameters_to_vector(pruned.parameters()) * 2, pruned.parameters()
    )
    small = cut(pruned, labels)
    torch.testing.assert_close(small(x, EDGES), pruned(x, EDGES), rtol=1e-12, atol=1e-12)
    fresh = conv_of(GRAPH, normalize_states=True)
    fresh.load_state_dict(pruned.state_dict())
    assert torch.equal(fresh(x, EDGES), pruned(x, EDGES))
    whole = conv_of(GRAPH, normalize_states=True)
    pruned.load_state_dict(whole.state_dict())
    assert torch.equal(pruned(x, EDGES), whole(x, EDGES))


def test_graphs_are_classified_by_what_a_head_makes_of_their_nodes():
    parts = split(cut(conv_of(GRAPH), HIDDEN))
    batch, y = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 1])
    x = normal(NUM_NODES, 4)

    def head(nodes):
        return global_mean_pool(nodes, batch)

    study = lesion_study(parts, x, y, EDGES, head=head)
    logits = head(sum(part(x, EDGES) for part in parts))
    assert study.all.tolist() == (logits.argmax(dim=1) == y).double().tolist()
    attribution = input_attribution(parts, x, EDGES, head=head)
    leaf = x.clone().requires_grad_()
    of_outputs = head(parts[1](leaf, EDGES)).sum(dim=0)
    expected = sum(
        torch.autograd.grad(one, leaf, retain_graph=True)[0].abs() for one in of_outputs
    ).mean(dim=0)
    torch.testing.assert_close(attribution[1], expected)
    with pytest.raises(ValueError, match=r"y of shape \[2\]"):
        lesion_study(parts, x, torch.zeros(NUM_NODES).long(), EDGES, head=head)


def test_a_graph_without_nodes_proves_nothing():
    modular = cut(conv_of(GRAPH), HIDDEN)
    none = torch.empty(2, 0, dtype=torch.long)
    for x in (normal(0, 4), normal(2, 0, 4)):
        with pytest.raises(ValueError, match=r"\[B, V, 4\] with B, V >= 1"):
            check_independence(modular, x, none)


@pytest.mark.parametrize("labels", [HIDDEN, ALL])
@pytest.mark.parametrize("solver", [Unrolled(4), EQUILIBRIUM])
@pytest.mark.parametrize("normalize_states", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_parts_of_a_cut_layer_add_up_and_are_independent(
    labels, solver, normalize_states, bias
):
    layer = layer_of(solver=solver, normalize_states=normalize_states, bias=bias)
    x, weight = normal(NUM_NODES, 4), torch.rand(EDGES.size(1), dtype=torch.float64)
    modular = cut(layer, labels)
    kept = labels[modular.graph.edge_index]
    assert not bool(((kept[0] != kept[1]) & (kept >= 0).all(dim=0)).any())
    assert modular.neighbours.shape == (modular.graph.num_edges,)
    parts = split(modular)
    total = sum(part(x, EDGES, weight) for part in parts)
    # Contractions are those of the parts once they are alone.
    torch.testing.assert_close(total, modular(x, EDGES, weight), rtol=0, atol=1e-10)
    proof = check_independence(modular, x, EDGES, weight)
    assert proof.max_cross_jacobian == 0
    merged = merge(parts)
    torch.testing.assert_close(merged(x, EDGES), modular(x, EDGES), rtol=0, atol=1e-10)
    together = ModularGraph(parts)
    torch.testing.assert_close(together(x, EDGES), modular(x, EDGES), rtol=0, atol=1e-10)


def test_what_is_cut_in_float32_is_within_1e_5():
    layer = layer_of(dtype=torch.float32, solver=Equilibrium(1e-6, contraction=0.9))
    x = normal(NUM_NODES, 4).float()
    modular = cut(layer, HIDDEN)
    total = sum(part(x, EDGES) for part in split(modular))
    assert float((total - modular(x, EDGES)).detach().abs().max()) <= 1e-5


def test_a_pruned_layer_is_the_cut_one_and_has_no_gradient_where_it_was_pruned():
    layer = layer_of()
    modular = cut(layer, HIDDEN)
    optimizer = torch.optim.Adam([layer.weight], lr=0.1)
    x = normal(NUM_NODES, 4)
    layer(x, EDGES).sum().backward()
    optimizer.step()
    modular = cut(layer, HIDDEN)
    prune_cross_edges(layer, HIDDEN, optimizer=optimizer)
    torch.testing.assert_close(layer(x, EDGES), modular(x, EDGES), rtol=0, atol=1e-12)
    optimizer.zero_grad()
    layer(x, EDGES).sum().backward()
    optimizer.step()
    assert bool((layer.weight[~layer.edge_mask] == 0).all())
    assert bool((layer.weight.grad[~layer.edge_mask] == 0).all())


def test_the_optimizer_goes_on_with_the_cut_layer():
    layer = layer_of()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    x = normal(NUM_NODES, 4)
    layer(x, EDGES).sum().backward()
    optimizer.step()
    modular = cut(layer, HIDDEN, optimizer=optimizer)
    kept = optimizer.state[modular.weight]["exp_avg"]
    assert kept.shape == modular.weight.shape == (modular.graph.num_edges, 2)
    before = modular.weight.detach().clone()
    modular(x, EDGES).sum().backward()
    optimizer.step()
    assert not torch.equal(before, modular.weight)


def test_edges_that_are_rewired_keep_what_they_look_at():
    layer = layer_of()
    kept = torch.arange(GRAPH.num_edges) % 3 > 0
    neighbours, weight = layer.neighbours[kept], layer.weight[kept]
    smaller = rewire(layer, UnitGraph(GRAPH.edge_index[:, kept], GRAPH.num_units, 4, 2))
    assert torch.equal(smaller.neighbours, neighbours)
    assert torch.equal(smaller.weight, weight)


def test_the_affinity_of_units_is_the_norm_of_all_weights_between_them():
    layer = layer_of()
    weight = layer.weight.detach().clone()
    weight[~layer.neighbours, 1] = 0
    torch.testing.assert_close(layer.edge_weight(), weight.norm(dim=1))
    labels = partition_units(layer, 2)
    assert sorted(labels[4:10].unique().tolist()) == [0, 1]
    regularizer = PartitionRegularizer(layer, num_modules=2)
    regularizer().backward()
    assert bool((layer.weight.grad != 0).any())
    # What does not count has no gradient.
    assert bool((layer.weight.grad[~layer.neighbours, 1] == 0).all())


class Model(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.conv = conv_of(GRAPH, dtype=torch.float32, **kwargs)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


def node_data():
    """Two classes of nodes, whose features say a little, and edges mostly within them."""
    rand = generator(0)
    y = torch.arange(60) % 2
    pairs = torch.randint(60, (2, 600), generator=rand)
    pairs = pairs[:, (y[pairs[0]] == y[pairs[1]]) | (torch.rand(600, generator=rand) < 0.1)]
    x = torch.randn(60, 4, generator=rand) + y.unsqueeze(1)
    return Data(x, pairs, y=y, train_mask=torch.arange(60) < 30)


def test_nodes_of_one_graph_are_learned_by_fit():
    data, model = node_data(), Model()
    fit(model, data, epochs=30, seed=0, learning_rate=0.02)
    test = ~data.train_mask
    accuracy = (model(data.x, data.edge_index).argmax(1) == data.y)[test].float().mean()
    assert float(accuracy) > 0.9


def test_a_model_with_a_convolution_is_organised():
    data, model = node_data(), Model()
    organised = organise(model, data, num_modules=2, epochs=10, finetune_epochs=4)
    assert isinstance(organised.layer, SynchronousConv)
    assert model.conv is organised.layer
    assert organised.layer.labels is not None
    check_independence(organised.layer, data.x[:10], torch.tensor([[0, 1], [1, 2]]))


def test_a_schedule_of_the_partition_in_a_loop_of_ones_own():
    data, model = node_data(), Model()
    regularizer = PartitionRegularizer(model.conv, num_modules=2)
    schedule = PartitionSchedule(regularizer, epochs=6)
    optimizer = torch.optim.Adam([*model.parameters(), *regularizer.parameters()], lr=0.01)
    for epoch in range(6):
        schedule.step(epoch)
        logits = model(data.x, data.edge_index)
        loss = nn.functional.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        (loss + regularizer()).backward()
        optimizer.step()
    assert cut(model.conv, regularizer.labels()).labels is not None


def test_what_modules_are_worth_on_one_graph_and_on_many():
    data, model = node_data(), Model()
    labels = partition_units(model.conv, 2)
    verdict = partition_verdict(model.conv, labels, data, steps=5)
    logits = model(data.x, data.edge_index)[data.train_mask]
    expected = nn.functional.cross_entropy(logits, data.y[data.train_mask])
    assert verdict.uncut == pytest.approx(expected.item(), rel=1e-5)
    assert verdict.uncut == Probe(model, data, steps=5)(None)
    graphs = [data.subgraph(torch.arange(60) // 20 == part) for part in range(3)]
    head = nn.Linear(2, 2)

    def forward(model, batch):
        pooled = global_mean_pool(model[0](batch.x, batch.edge_index), batch.batch)
        return model[1](pooled), torch.arange(3) % 2

    with_head = nn.ModuleList([model.conv, head])
    of_graphs = partition_verdict(with_head, labels, GraphLoader(graphs, 3), forward=forward)
    outputs, targets = forward(with_head, Batch.from_data_list(graphs))
    expected = nn.functional.cross_entropy(outputs, targets)
    assert of_graphs.uncut == pytest.approx(expected.item(), rel=1e-5)


def test_a_probe_divides_the_states_of_modules_apart_as_the_cut_layer_does():
    data, layer = node_data(), conv_of(GRAPH, dtype=torch.float32, normalize_states=True)
    logits = cut(layer, HIDDEN)(data.x, data.edge_index)[data.train_mask]
    expected = nn.functional.cross_entropy(logits, data.y[data.train_mask])
    found = Probe(layer, data)(HIDDEN, trained=False)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    assert layer.labels is None


def test_pairs_without_edges_are_refused_by_name():
    data, model = node_data(), Model()
    pair, labels = (data.x, data.y), partition_units(model.conv, 2)
    for run in (
        lambda: partition_verdict(model.conv, labels, *pair),
        lambda: Probe(model, pair)(None),
        lambda: fit(model, pair, epochs=1, seed=0),
        lambda: organise(model.conv, pair, num_modules=2, epochs=1),
    ):
        with pytest.raises(TypeError, match=r"needs edge_index beside it.*PyG Data with masks"):
            run()


def test_lesions_and_attribution_on_a_graph():
    data = node_data()
    modular = cut(conv_of(GRAPH, dtype=torch.float32), ALL)
    parts = split(modular)
    study = lesion_study(parts, data.x, data.y, data.edge_index)
    outputs = torch.stack([part(data.x, data.edge_index) for part in parts])
    right = outputs.sum(dim=0).argmax(dim=1) == data.y
    expected = torch.stack([right[data.y == c].float().mean() for c in (0, 1)])
    torch.testing.assert_close(study.all, expected)
    attribution = input_attribution(parts, data.x, data.edge_index)
    # A module does not see the inputs of the other.
    assert torch.equal(attribution > 0, torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]]).bool())


def test_what_a_layer_takes_may_be_named():
    data = node_data()
    modular = cut(conv_of(GRAPH, dtype=torch.float32), ALL)
    parts, weight = split(modular), torch.rand(data.num_edges, generator=generator(0))
    placed, named = (
        (data.edge_index, weight),
        {"edge_index": data.edge_index, "edge_weight": weight},
    )
    for analyse in (
        lambda *others, **given: lesion_study(parts, data.x, data.y, *others, **given).without,
        lambda *others, **given: input_attribution(parts, data.x, *others, **given),
        lambda *others, **given: torch.tensor(
            check_independence(modular, data.x, *others, **given).max_split_difference
        ),
        lambda *others, **given: torch.tensor(
            plot_convergence(modular, data.x, *others, ax=Figure().subplots(), **given)
            .lines[0]
            .get_ydata()
        ),
    ):
        assert torch.equal(analyse(*placed), analyse(**named))
        assert torch.equal(analyse(*placed), analyse(data.edge_index, edge_weight=weight))
        with pytest.raises(TypeError, match="unexpected keyword argument 'heads'"):
            analyse(*placed, heads=3)


@pytest.mark.parametrize("labels", [None, HIDDEN])
def test_files_bring_everything_back(labels, tmp_path):
    pytest.importorskip("safetensors")
    layer = layer_of(
        normalize="mean", add_self_loops=False, bias=False, normalize_states=True, carry=True
    )
    if labels is not None:
        layer = cut(layer, labels)
    layer.save(tmp_path)
    again = SynchronousConv.load(tmp_path)
    x = normal(NUM_NODES, 4)
    assert torch.equal(again(x, EDGES), layer(x, EDGES))
    assert repr(again) == repr(layer)
    assert torch.equal(again.neighbours, layer.neighbours)
    from pyg_modules import SynchronousGraph

    with pytest.raises(ValueError, match="SynchronousConv"):
        SynchronousGraph.load(tmp_path)


@settings(max_examples=15)
@given(seeds, st.booleans())
def test_sums_of_parts_on_random_graphs(seed, looks):
    rand = generator(seed)
    graph = UnitGraph.erdos_renyi(3, 8, 2, 0.5, generator=rand, repair=True)
    mask = torch.rand(graph.num_edges, generator=rand) < 0.5 if looks else None
    layer = conv_of(graph, seed, neighbours=mask, solver=Unrolled(3))
    labels = torch.full((13,), -1)
    labels[3:11] = torch.arange(8) % 2
    assume(stays_alive(layer, labels))
    modular = cut(layer, labels)
    nodes = int(torch.randint(1, 6, (), generator=rand))
    edges = torch.randint(nodes, (2, 8), generator=rand)
    x = normal(nodes, 3, seed=seed)
    total = sum(part(x, edges) for part in split(modular))
    torch.testing.assert_close(total, modular(x, edges), rtol=0, atol=1e-12)


def test_verbs_that_know_no_graphs_say_so():
    from pyg_modules.parallel import export_parts

    parts = split(cut(layer_of(), HIDDEN))
    with pytest.raises(TypeError, match="SynchronousConv"):
        export_parts(parts, "unused")
    with pytest.raises(ValueError, match="batched"):
        ModularGraph(parts, execution="batched")
    copied = copy.deepcopy(parts)
    assert len(copied) == 3
