import networkx
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, cut
from pyg_modules.partition import (
    conductance,
    cost_balance,
    cut_fraction,
    modularity,
    module_costs,
    module_sizes,
    ncut_loss,
    normalized_cut,
    size_balance,
)
from tests.strategies import generator, seeds, stays_alive, unit_graphs, units_of

# Directed: 0 -> 1 with 2, 1 -> 0 with -4, 1 -> 2 with 1, self-loop at 2 with -3, 3 shared.
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 2, 0, 3]])
WEIGHT = torch.tensor([2.0, -4.0, 1.0, -3.0, 9.0, 9.0])
LABELS = torch.tensor([0, 0, 1, -1])


def test_values_by_hand():
    # Volumes without the shared unit: 6.5 and 3.5; inside: 6 and 3; in all 10, of which 1 crosses.
    assert normalized_cut(EDGES, WEIGHT, LABELS) == pytest.approx(
        ((1 - 6 / 6.5) + (1 - 3 / 3.5)) / 2, abs=1e-15
    )
    assert cut_fraction(EDGES, WEIGHT, LABELS) == pytest.approx(0.1, abs=1e-15)
    # Within: 6/10 and 3/10; by chance: 0.65^2 and 0.35^2.
    assert modularity(EDGES, WEIGHT, LABELS) == pytest.approx(0.9 - 0.4225 - 0.1225, abs=1e-15)
    # 0.5 leaves either module, and 3.5 is the smaller volume.
    assert conductance(EDGES, WEIGHT, LABELS) == pytest.approx([1 / 7, 1 / 7], abs=1e-15)


@given(unit_graphs(min_hidden=4), st.integers(1, 4), seeds)
def test_normalized_cut_is_the_loss_at_hard_labels(graph, num_modules, seed):
    rand = generator(seed)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=rand)
    labels = torch.randint(num_modules, (graph.num_units,), generator=rand)
    assume(len(labels.unique()) == num_modules)
    hard = torch.nn.functional.one_hot(labels, num_modules).double()
    expected = ncut_loss(graph.edge_index, weight, hard).item()
    assert normalized_cut(graph.edge_index, weight, labels) == pytest.approx(expected, abs=1e-12)


@given(unit_graphs(min_hidden=4), st.integers(1, 4), seeds)
def test_modularity_and_conductance_equal_networkx_on_the_symmetrised_graph(
    graph, num_modules, seed
):
    rand = generator(seed)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=rand)
    labels = torch.randint(-1, num_modules, (graph.num_units,), generator=rand)
    assume(labels[labels >= 0].unique().tolist() == list(range(num_modules)))
    symmetrised = symmetrised_networkx(graph.edge_index, weight, labels)
    modules = [(labels == module).nonzero().view(-1).tolist() for module in range(num_modules)]
    expected = (
        networkx.community.modularity(symmetrised, modules) if symmetrised.number_of_edges() else 0
    )
    actual = modularity(graph.edge_index, weight, labels)
    assert actual == pytest.approx(expected, abs=1e-12)
    for members, value in zip(modules, conductance(graph.edge_index, weight, labels), strict=True):
        others = set(symmetrised) - set(members)
        volumes = [networkx.volume(symmetrised, side, "weight") for side in (members, others)]
        if min(volumes) > 1e-12:
            expected = networkx.conductance(symmetrised, members, weight="weight")
            assert value == pytest.approx(expected, abs=1e-12)
        else:
            assert value == (0 if volumes[0] else 1)


def symmetrised_networkx(edge_index, weight, labels):
    """The partitioned units, with halved self-loops: networkx counts them twice in a degree."""
    symmetrised = networkx.Graph()
    symmetrised.add_nodes_from((labels >= 0).nonzero().view(-1).tolist())
    for (source, target), magnitude in zip(edge_index.T.tolist(), weight.abs(), strict=True):
        if source in symmetrised and target in symmetrised:
            half = magnitude.item() / 2
            previous = symmetrised.get_edge_data(source, target, {"weight": 0})["weight"]
            symmetrised.add_edge(source, target, weight=previous + half)
    return symmetrised


def test_two_halves_that_nothing_joins_have_modularity_one_half():
    edges, weight = torch.tensor([[0, 2], [1, 3]]), torch.tensor([-5.0, 5.0])
    assert modularity(edges, weight, torch.tensor([0, 0, 1, 1])) == 0.5
    assert modularity(edges, weight, torch.tensor([0, 1, 0, 1])) == -0.5
    assert modularity(edges, weight, torch.tensor([0, 0, 0, 0])) == 0


def test_a_self_loop_counts_once_in_the_volume():
    # A = [[4, 0, 0], [0, 0, 2], [0, 2, 0]]: both volumes are 4.
    edges, weight = torch.tensor([[0, 1, 2], [0, 2, 1]]), torch.tensor([-4.0, 1.0, -3.0])
    assert modularity(edges, weight, torch.tensor([0, 1, 1])) == 0.5


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1]])
def test_extremes(labels):
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    weight = torch.tensor([1.0, -2.0, 3.0, 4.0])
    assert normalized_cut(edges, weight, torch.tensor(labels)) == 0
    assert cut_fraction(edges, weight, torch.tensor(labels)) == 0
    assert conductance(edges, weight, torch.tensor(labels)) == [0.0] * (max(labels) + 1)
    assert normalized_cut(edges, weight, torch.tensor([0, 1, 0, 1])) == 1
    assert cut_fraction(edges, weight, torch.tensor([0, 1, 0, 1])) == 1
    assert conductance(edges, weight, torch.tensor([0, 1, 0, 1])) == [1, 1]


def test_without_weight_the_cut_is_one_and_the_fraction_and_the_modularity_zero():
    zeros = torch.zeros(6)
    assert normalized_cut(EDGES, zeros, LABELS) == 1
    assert cut_fraction(EDGES, zeros, LABELS) == 0
    assert modularity(EDGES, zeros, LABELS) == 0
    assert conductance(EDGES, zeros, LABELS) == [1, 1]


def test_a_module_without_volume_is_open_and_one_with_all_of_it_closed():
    edges, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([2.0, -1.0])
    assert conductance(edges, weight, torch.tensor([0, 0, 1])) == [0, 1]


def test_conductance_survives_volumes_of_very_different_size():
    # All that module 1 has crosses; its volume, 2e-8, is lost in a difference to 1e20.
    edges, weight = torch.tensor([[0, 0, 1], [0, 1, 0]]), torch.tensor([1e20, 1e-8, -3e-8]).double()
    assert conductance(edges, weight, torch.tensor([0, 1])) == [1, 1]


def test_bad_labels_are_refused():
    for metric in (normalized_cut, cut_fraction, modularity, conductance):
        with pytest.raises(ValueError, match="got only shared units"):
            metric(EDGES, WEIGHT, torch.full((4,), -1))
        with pytest.raises(ValueError, match="modules \\[0, 2\\]"):
            metric(EDGES, WEIGHT, torch.tensor([0, 2, 2, 0]))
        with pytest.raises(ValueError, match=r"one weight per edge, \[6\] \(got \[3\]\)"):
            metric(EDGES, WEIGHT[:3], LABELS)
        with pytest.raises(ValueError, match=r"ids in \[0, 2\).*got 0 to 3"):
            metric(EDGES, WEIGHT, LABELS[1:3])
        with pytest.raises(TypeError, match=r"edge_index to be a LongTensor .* \(got list\)"):
            metric(EDGES.tolist(), WEIGHT, LABELS)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("metric", [normalized_cut, cut_fraction, modularity, conductance])
def test_weights_that_are_not_finite_are_refused(metric, bad):
    weight = WEIGHT.clone()
    weight[2] = bad
    with pytest.raises(ValueError, match=r"finite weights \(got NaN or infinity\)"):
        metric(EDGES, weight, LABELS)


def test_labels_of_another_length_are_named_before_their_content():
    with pytest.raises(ValueError, match=r"unit ids in \[0, 1\) in edge_index \(got 0 to 3\)"):
        normalized_cut(EDGES, WEIGHT, LABELS[3:])


# 0 is a shared input, 1 and 2 one module, 3 another, 4 a shared output with feedback.
#   input into a module: 0 -> 1, 0 -> 3     within: 1 -> 2, 2 -> 1, 3 -> 3     between: 2 -> 3
#   into the output: 2 -> 4                 feedback: 4 -> 1                   shared: 0 -> 4
WIRES = torch.tensor([[0, 0, 1, 2, 3, 2, 2, 4, 0], [1, 3, 2, 1, 3, 3, 4, 1, 4]])
MODULES = torch.tensor([-1, 0, 0, 1, -1])


def test_sizes_and_costs_by_hand():
    assert module_sizes(MODULES) == [2, 1]
    assert size_balance(MODULES) == pytest.approx(2 / 1.5)
    # 0 -> 1, 1 -> 2, 2 -> 1, 2 -> 4 and 0 -> 3, 3 -> 3.
    assert module_costs(WIRES, MODULES) == [4, 2]
    assert cost_balance(WIRES, MODULES) == pytest.approx(4 / 3)


def test_balanced_modules():
    labels = torch.tensor([0, 1, 1, 0, -1])
    edges = torch.tensor([[0, 3, 1, 1], [3, 3, 2, 1]])
    assert size_balance(labels) == 1
    assert cost_balance(edges, labels) == 1
    assert cost_balance(edges[:, :1], labels) == 2


def test_modules_without_edges_are_balanced():
    edges = torch.tensor([[0, 1], [1, 0]])
    assert module_costs(edges, torch.tensor([0, 1])) == [0, 0]
    assert cost_balance(edges, torch.tensor([0, 1])) == 1
    assert cost_balance(edges[:, :0], torch.tensor([0, 1])) == 1


@given(
    unit_graphs(min_hidden=4),
    st.integers(1, 4),
    st.sampled_from(["hidden", "inputs", "all"]),
    seeds,
)
def test_costs_are_the_edges_of_the_cut_layer(graph, num_modules, scope, seed):
    labels = torch.randint(num_modules, (graph.num_units,), generator=generator(seed))
    others = set(range(graph.num_units)) - set(units_of(graph, scope))
    labels[list(others)] = -1
    assume(labels[labels >= 0].unique().tolist() == list(range(num_modules)))
    source, target = graph.edge_index.tolist()
    # An output that receives nothing cannot be told from an input.
    assume(all(unit in target or unit not in source for unit in graph.outputs))
    layer = SynchronousGraph(graph)
    assume(stays_alive(layer, labels))
    modular = cut(layer, labels)
    ends = labels[modular.graph.edge_index].T.tolist()
    expected = [sum(module in pair for pair in ends) for module in range(num_modules)]
    assert module_costs(graph.edge_index, labels) == expected


def test_bad_arguments_of_sizes_and_costs_are_refused():
    shared = torch.full((5,), -1)
    with pytest.raises(ValueError, match="got only shared units"):
        size_balance(shared)
    with pytest.raises(ValueError, match="got only shared units"):
        cost_balance(WIRES, shared)
    for measure in (module_sizes, size_balance):
        with pytest.raises(TypeError, match="LongTensor"):
            measure(torch.zeros(3))
    for measure in (module_costs, cost_balance):
        with pytest.raises(ValueError, match=r"modules \[0, 2\]"):
            measure(WIRES, torch.tensor([0, 2, 2, 0, 0]))
        with pytest.raises(ValueError, match=r"ids in \[0, 3\).*got 0 to 4"):
            measure(WIRES, MODULES[:3])
        with pytest.raises(ValueError, match=r"\[2, num_edges\].*got \[9\]"):
            measure(WIRES[0], MODULES)
        with pytest.raises(TypeError, match=r"edge_index to be a LongTensor.*got list"):
            measure(WIRES.tolist(), MODULES)
        with pytest.raises(ValueError, match=r"every edge once \(got 0 -> 1 more than once\)"):
            measure(WIRES[:, [0, 0]], MODULES)
