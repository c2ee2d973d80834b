import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, cut
from pyg_modules.partition import cost_balance, module_costs, module_sizes, size_balance
from tests.strategies import generator, seeds, unit_graphs

# 0 is a shared input, 1 and 2 one module, 3 another, 4 a shared output with feedback.
#   input into a module: 0 -> 1, 0 -> 3     within: 1 -> 2, 2 -> 1, 3 -> 3     between: 2 -> 3
#   into the output: 2 -> 4                 feedback: 4 -> 1                   shared: 0 -> 4
EDGES = torch.tensor([[0, 0, 1, 2, 3, 2, 2, 4, 0], [1, 3, 2, 1, 3, 3, 4, 1, 4]])
LABELS = torch.tensor([-1, 0, 0, 1, -1])


def test_values_by_hand():
    assert module_sizes(LABELS) == [2, 1]
    assert size_balance(LABELS) == pytest.approx(2 / 1.5)
    # 0 -> 1, 1 -> 2, 2 -> 1, 2 -> 4 and 0 -> 3, 3 -> 3.
    assert module_costs(EDGES, LABELS) == [4, 2]
    assert cost_balance(EDGES, LABELS) == pytest.approx(4 / 3)


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


@given(unit_graphs(min_hidden=4), st.integers(1, 4), st.sampled_from(["hidden", "all"]), seeds)
def test_costs_are_the_edges_of_the_cut_layer(graph, num_modules, scope, seed):
    labels = torch.randint(num_modules, (graph.num_units,), generator=generator(seed))
    if scope == "hidden":
        labels[[*graph.inputs, *graph.outputs]] = -1
    assume(labels[labels >= 0].unique().tolist() == list(range(num_modules)))
    source, target = graph.edge_index.tolist()
    # An output that receives nothing cannot be told from an input.
    assume(all(unit in target or unit not in source for unit in graph.outputs))
    modular = cut(SynchronousGraph(graph), labels)
    ends = labels[modular.graph.edge_index].T.tolist()
    expected = [sum(module in pair for pair in ends) for module in range(num_modules)]
    assert module_costs(graph.edge_index, labels) == expected


def test_bad_arguments_are_refused():
    shared = torch.full((5,), -1)
    with pytest.raises(ValueError, match="got only shared units"):
        size_balance(shared)
    with pytest.raises(ValueError, match="got only shared units"):
        cost_balance(EDGES, shared)
    for measure in (module_sizes, size_balance):
        with pytest.raises(TypeError, match="LongTensor"):
            measure(torch.zeros(3))
    for measure in (module_costs, cost_balance):
        with pytest.raises(ValueError, match=r"modules \[0, 2\]"):
            measure(EDGES, torch.tensor([0, 2, 2, 0, 0]))
        with pytest.raises(ValueError, match=r"ids in \[0, 3\).*got 0 to 4"):
            measure(EDGES, LABELS[:3])
        with pytest.raises(ValueError, match=r"\[2, num_edges\].*got \[9\]"):
            measure(EDGES[0], LABELS)
        with pytest.raises(TypeError, match=r"edge_index to be a LongTensor.*got list"):
            measure(EDGES.tolist(), LABELS)
        with pytest.raises(ValueError, match=r"every edge once \(got 0 -> 1 more than once\)"):
            measure(EDGES[:, [0, 0]], LABELS)
