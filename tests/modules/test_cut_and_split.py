import copy
import io
import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    SynchronousConv,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.modules import check_independence
from tests.strategies import generator, layers_with_labels, normal


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(st.data())
def test_cut_removes_exactly_the_edges_between_modules(scope, data):
    layer, labels = data.draw(layers_with_labels(scope))
    graph = layer.graph
    modular = cut(layer, labels)
    kept = []
    for edge, (source, target) in enumerate(graph.edge_index.T.tolist()):
        a, b = labels[source].item(), labels[target].item()
        crossing = a != b and a >= 0 and b >= 0
        feedback = a == -1 and source >= graph.num_inputs and b >= 0
        if not crossing and not feedback:
            kept.append(edge)
    assert torch.equal(modular.graph.edge_index, graph.edge_index[:, kept])
    assert torch.equal(modular.weight, layer.weight[kept])
    assert torch.equal(modular.bias, layer.bias)
    assert (modular.solver, modular.activation) == (layer.solver, layer.activation)
    assert torch.equal(modular.labels, labels)


@given(layers_with_labels("hidden"))
def test_cutting_is_setting_the_crossing_weights_to_zero(layer_and_labels):
    layer, labels = layer_and_labels
    modular = cut(layer, labels)
    kept = {tuple(edge) for edge in modular.graph.edge_index.T.tolist()}
    masked = SynchronousGraph(layer.graph, layer.solver, layer.activation, dtype=torch.float64)
    masked.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for edge, pair in enumerate(layer.graph.edge_index.T.tolist()):
            if tuple(pair) not in kept:
                masked.weight[edge] = 0
    x = normal(3, layer.graph.num_inputs)
    torch.testing.assert_close(modular(x), masked(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(st.data())
def test_the_parts_add_up_to_the_cut_layer(scope, data):
    modular = cut(*data.draw(layers_with_labels(scope)))
    parts = split(modular)
    assert len(parts) == int(modular.labels.max()) + 1
    x = normal(3, modular.graph.num_inputs)
    total = sum(part(x) for part in parts)
    torch.testing.assert_close(total, modular(x), rtol=1e-10, atol=1e-10)


def test_the_parts_add_up_in_their_gradients_too():
    layer = SynchronousGraph(UnitGraph.complete(3, 6, 2), Unrolled(3), "tanh", dtype=torch.float64)
    modular = cut(layer, torch.tensor([-1] * 3 + [0, 1, 2, 0, 1, 2] + [-1] * 2))
    parts = split(modular)
    x = normal(4, 3).requires_grad_()
    (expected,) = torch.autograd.grad(modular(x).square().sum(), x)
    (total,) = torch.autograd.grad(sum(part(x) for part in parts).square().sum(), x)
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-12)


def test_parts_have_the_hidden_units_of_one_module_and_copies_of_their_weights():
    layer = SynchronousGraph(UnitGraph.complete(2, 5, 1), Unrolled(2), "tanh", backend="scatter")
    modular = cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, 1, -1]))
    parts = split(modular)
    assert [part.graph.num_hidden for part in parts] == [2, 3]
    assert [part.graph.num_inputs for part in parts] == [2, 2]
    for part in parts:
        assert (part.solver, part.activation, part.backend) == (Unrolled(2), "tanh", "scatter")
    # Complete again: input, recurrent and output edges of 2 and of 3 hidden units.
    assert [part.graph.num_edges for part in parts] == [4 + 4 + 2, 6 + 9 + 3]
    assert sum(part.graph.num_edges for part in parts) == modular.graph.num_edges
    before = modular.weight.clone()
    with torch.no_grad():
        parts[0].weight.zero_()
    assert torch.equal(modular.weight, before)
    # The first part alone has the bias of the shared output.
    assert parts[0].bias[-1] == modular.bias[-1]
    assert parts[1].bias[-1] == 0


def test_cut_leaves_the_layer_and_its_mode_alone():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1)).eval()
    before = layer.weight.clone()
    modular = cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, -1]))
    assert not modular.training
    assert layer.labels is None
    with torch.no_grad():
        modular.weight.zero_()
    assert torch.equal(layer.weight, before)


def test_what_is_frozen_stays_frozen():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1))
    labels = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
    layer.weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([layer.bias])
    modular = cut(layer, labels, optimizer=optimizer)
    parts = split(modular)
    for one in (modular, *parts, merge(parts)):
        assert not one.weight.requires_grad
        assert one.bias.requires_grad
    assert optimizer.param_groups[0]["params"] == [modular.bias]


def test_bad_labels_are_refused():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1))
    with pytest.raises(ValueError, match=r"\[7\], one per unit"):
        cut(layer, torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"modules \[0, 2\]"):
        cut(layer, torch.tensor([-1, -1, 0, 2, 0, 2, -1]))
    with pytest.raises(ValueError, match=r"every hidden unit in a module \(got -1 for unit 4\)"):
        cut(layer, torch.tensor([-1, -1, 0, 1, -1, 1, -1]))
    with pytest.raises(ValueError, match=r"made by cut\(layer, labels\)"):
        split(layer)


def test_other_modules_are_refused():
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        cut(torch.nn.Linear(2, 1), torch.tensor([0, 1, -1]))
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got list\)"):
        split([])


def test_a_layer_whose_labels_were_changed_is_not_split():
    modular = cut(
        SynchronousGraph(UnitGraph.complete(2, 4, 1)), torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    )
    modular.labels = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
    with pytest.raises(ValueError, match=r"no edge between modules.*Cut it again"):
        split(modular)


def test_the_parts_of_an_equilibrium_add_up_to_it():
    # The contraction of the whole scales modules whose own weights would need none.
    layer = SynchronousGraph(
        UnitGraph.complete(3, 8, 2),
        Equilibrium(1e-12, contraction=0.9),
        "tanh",
        dtype=torch.float64,
    )
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    modular = cut(layer, torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2))
    x = normal(5, 3)
    parts = split(modular)
    torch.testing.assert_close(sum(part(x) for part in parts), modular(x), rtol=0, atol=1e-9)
    assert all(part.solver == Equilibrium(1e-12) for part in parts)


def cut_layer():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2), "tanh", dtype=torch.float64)
    return cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, -1]))


def of_the_graph_of(layer, device=None):
    return SynchronousGraph(layer.graph, layer.solver, layer.activation, device=device).to(
        layer.dtype
    )


def through_safetensors(state):
    return safetensors.torch.load(safetensors.torch.save(state))


def through_torch(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("way", [dict, through_safetensors, through_torch])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_state_makes_a_layer_of_the_cut_graph_one_that_can_be_split(way, device):
    modular = cut_layer()
    fresh = of_the_graph_of(modular, device)
    fresh.load_state_dict(way(modular.state_dict()), assign=device == "meta")
    assert torch.equal(fresh.labels, modular.labels)
    x = normal(3, 2)
    for part, other in zip(split(fresh), split(modular), strict=True):
        assert torch.equal(part(x), other(x))
    merged = of_the_graph_of(modular)
    merged.load_state_dict(merge(split(modular)).state_dict())
    assert torch.equal(merged.labels, modular.labels)


def test_a_state_has_labels_where_a_layer_has_them_alone():
    modular = cut_layer()
    assert set(of_the_graph_of(modular).state_dict()) == {"weight", "bias", "_extra_state"}
    assert set(modular.state_dict()) == {"weight", "bias", "labels", "_extra_state"}
    assert all("labels" not in part.state_dict() for part in split(modular))


def test_a_state_of_before_there_were_labels_leaves_those_of_the_layer():
    modular = cut_layer()
    other, fresh = (torch.nn.Sequential(made) for made in (cut_layer(), of_the_graph_of(modular)))
    state = {f"0.{name}": getattr(modular, name) for name in ("weight", "bias")}
    for model, labels in ((other, modular.labels), (fresh, None)):
        model.load_state_dict(state)
        assert torch.equal(model[0].weight, modular.weight)
        assert model[0].labels is None if labels is None else torch.equal(model[0].labels, labels)
    with pytest.raises(ValueError, match="of a graph that is cut already, too, gets its labels so"):
        split(fresh[0])
    assert len(split(cut(fresh[0], modular.labels))) == 2


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (torch.zeros(3, dtype=torch.long), r"shape \[3\]"),
        (torch.full((7,), 0.5), "means of different modules"),
        (torch.zeros(7, dtype=torch.complex64), "labels of torch.complex64"),
        (torch.full((7,), 9), "labels up to 9"),
        (torch.tensor([-1, -1, 0, 0, 1, 1, -1]), "modules that 4 of its edges join"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_labels_that_do_not_fit_are_refused_and_those_before_are_kept(labels, got, strict):
    for layer in (cut_layer(), of_the_graph_of(cut_layer())):
        before = None if layer.labels is None else layer.labels.clone()
        model = torch.nn.Sequential(layer)
        state = {f"0.{name}": value for name, value in cut_layer().state_dict().items()}
        with pytest.raises(RuntimeError, match=f"0.labels that fit the graph .*got .*{got}"):
            model.load_state_dict({**state, "0.labels": labels}, strict=strict)
        assert layer.labels is None if before is None else torch.equal(layer.labels, before)


def test_weights_that_do_not_fit_bring_no_labels():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2), dtype=torch.float64)
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict(cut_layer().state_dict())
    assert layer.labels is None


def test_modules_of_other_numbers_are_those_of_the_state():
    modular, other = cut_layer(), cut_layer()
    modular.labels = torch.where(modular.labels < 0, -1, 1 - modular.labels)
    other.load_state_dict(modular.state_dict())
    assert torch.equal(other.labels, modular.labels)


def test_a_parametrized_layer_gets_its_labels_too():
    modular, fresh = cut_layer(), of_the_graph_of(cut_layer())
    for layer in (modular, fresh):
        torch.nn.utils.parametrizations.weight_norm(layer, dim=None)
    fresh.load_state_dict(modular.state_dict())
    assert torch.equal(fresh.labels, modular.labels)


def test_what_is_made_of_a_parametrized_layer_is_a_plain_one():
    layer = SynchronousGraph(UnitGraph.complete(4, 10, 3))
    torch.nn.utils.parametrizations.weight_norm(layer, "weight", dim=None)
    modular = cut(layer, partition_units(layer, 2))
    for made in (modular, *split(modular), merge(split(modular))):
        assert type(made) is SynchronousGraph
        x = torch.rand(2, 4)
        again = pickle.loads(pickle.dumps(made))
        torch.testing.assert_close(again(x), made(x))
        torch.nn.utils.parametrizations.weight_norm(made, "weight", dim=None)
        torch.testing.assert_close(made(x), again(x))


@pytest.mark.parametrize("decay", [0.9, 0.999, 0.9995])
def test_averages_in_place_of_a_state_have_the_modules_of_the_layer(decay):
    labels = torch.tensor([-1] * 3 + [0, 1, 2, 3] * 4 + [-1] * 2)
    modular = cut(SynchronousGraph(UnitGraph.complete(3, 16, 2)), labels)
    averaged = copy.deepcopy(modular)
    with torch.no_grad():
        for mean, new in zip(
            averaged.state_dict().values(), modular.state_dict().values(), strict=True
        ):
            mean.copy_(decay * mean + (1 - decay) * new)
    assert torch.equal(averaged.labels, labels)


@pytest.mark.parametrize("averages", [get_ema_multi_avg_fn(0.9), get_swa_multi_avg_fn()])
def test_averages_of_buffers_have_the_modules_of_the_layer(averages):
    layer = SynchronousGraph(UnitGraph.complete(2, 16, 1))
    labels = torch.tensor([-1, -1, *[0, 1, 2, 3] * 4, -1])
    modular = cut(layer, labels)
    averaged = AveragedModel(modular, multi_avg_fn=averages, use_buffers=True)
    for _ in range(5):
        averaged.update_parameters(modular)
    # By .9 and .1 the integer 3 would become 2.
    assert torch.equal(averaged.module.labels, labels)
    assert len(split(averaged.module)) == 4


def test_labels_are_not_lost_where_weights_are():
    modular = cut_layer()
    labels = modular.labels.clone()
    empty = modular.to("meta").to_empty(device="cpu")
    assert torch.equal(empty.labels, labels)
    assert empty.labels.device == empty.weight.device
    # Also of a layer that is cut where weights have no values, and of its parts.
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), device="meta")
    labels = torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    modular = cut(layer, labels)
    assert len(split(modular)) == 2
    empty = modular.to_empty(device="cpu")
    assert torch.equal(empty.labels, labels)


@pytest.mark.parametrize("is_made_there", [True, False])
def test_masks_of_edges_are_not_lost_where_weights_are(is_made_there):
    graph, labels = UnitGraph.complete(2, 4, 1), torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    looks = torch.arange(graph.num_edges) % 3 > 0
    layer = SynchronousConv(graph, looks, carry=True, device="meta" if is_made_there else "cpu")
    layer = prune_cross_edges(layer.to("meta"), labels)
    kept = layer.edge_mask.clone()
    assert layer(torch.rand(3, 2, device="meta"), torch.zeros(2, 1).long().to("meta")).is_meta
    parts = split(cut(layer, labels))
    edges = [part.origin.edge_ids for part in parts]
    assert all(part.weight.is_meta for part in parts)
    for part, chosen in zip(parts, edges, strict=True):
        assert torch.equal(part.neighbours, looks[kept][chosen])
    empty = layer.to_empty(device="cpu")
    empty.reset_parameters()
    assert torch.equal(empty.neighbours, looks)
    assert torch.equal(empty.edge_mask, kept)
    carries = (graph.edge_index[0] == graph.edge_index[1]) & looks
    assert empty.weight[carries, 1].unique().tolist() == pytest.approx([0.9])
    for changed in (empty.half(), empty.type(torch.float64)):
        assert torch.equal(changed.neighbours, looks)
        assert torch.equal(changed.edge_mask, kept)


@pytest.mark.parametrize("assign", [True, False])
@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_states_without_values_take_no_masks_away(assign):
    graph, labels = UnitGraph.complete(2, 4, 1), torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    looks = torch.arange(graph.num_edges) % 3 > 0
    layer = prune_cross_edges(SynchronousConv(graph, looks), labels)
    state, kept = layer.state_dict(), layer.edge_mask.clone()
    empty = {key: value if "extra" in key else value.to("meta") for key, value in state.items()}
    fresh = SynchronousConv(graph, looks, device="meta")
    for other in (copy.deepcopy(layer).to("meta"), fresh):
        other.load_state_dict(empty, assign=assign)
        other.to_empty(device="cpu").load_state_dict(state)
        assert torch.equal(other.edge_mask, kept)
        assert torch.equal(other.neighbours, looks)
        assert torch.equal(other.weight, layer.weight)


@pytest.mark.parametrize("assign", [True, False])
def test_masks_in_a_state_of_another_dtype_are_masks(assign):
    graph, labels = UnitGraph.complete(2, 4, 1), torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    looks = torch.arange(graph.num_edges) % 3 > 0
    layer = prune_cross_edges(SynchronousConv(graph, looks), labels)
    state = layer.state_dict()
    half = {key: value if "extra" in key else value.half() for key, value in state.items()}
    other = SynchronousConv(graph, ~looks)
    other.load_state_dict(half, assign=assign)
    assert other.edge_mask.dtype == other.neighbours.dtype == torch.bool
    assert torch.equal(other.neighbours, looks)
    x, edges = normal(3, 2).float(), torch.tensor([[0, 1], [1, 2]])
    torch.testing.assert_close(other.float()(x, edges), layer(x, edges), rtol=0, atol=5e-3)


def test_a_layer_whose_units_are_all_shared_has_no_parts():
    layer = SynchronousGraph(UnitGraph.layered([4, 2]))
    modular = cut(layer, torch.full((6,), -1))
    for apart in (split, lambda layer: check_independence(layer, torch.rand(5, 4))):
        with pytest.raises(ValueError, match=r"Expected a module at least .*use it as it is"):
            apart(modular)


def test_labels_that_change_afterwards_are_not_those_of_the_layer():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1))
    labels = torch.tensor([-1, -1, 0, 1, 0, 1, -1])
    modular = cut(layer, labels)
    labels.zero_()
    assert modular.labels.tolist() == [-1, -1, 0, 1, 0, 1, -1]
    assert len(split(modular)) == 2


@pytest.mark.parametrize("activation", [["tanh", "relu"], ["tanh", "tanh"]])
def test_a_part_without_hidden_units_has_the_activation_of_any(tmp_path, activation):
    # 1 -> 5 is a module; the other one has both hidden units.
    graph = UnitGraph(torch.tensor([[0, 0, 1, 2, 3], [2, 3, 5, 4, 4]]), 6, 2, 2)
    layer = SynchronousGraph(graph, Unrolled(2), activation, generator=generator(0))
    modular = cut(layer, [0, 1, 0, 0, 0, 1])
    x, parts = torch.randn(5, 2, generator=generator(1)), split(modular)
    torch.testing.assert_close(sum(part(x) for part in parts), modular(x))
    torch.testing.assert_close(merge(parts)(x), modular(x))
    modular.save(tmp_path / "cut")
    torch.testing.assert_close(ModularGraph.load(tmp_path / "cut")(x), modular(x))
