import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled, cut, merge, split
from tests.strategies import generator, layers_with_labels, normal


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(st.data())
def test_merging_is_the_inverse_of_splitting(scope, data):
    layer, labels = data.draw(layers_with_labels(scope))
    modular = cut(layer, labels)
    merged = merge(split(modular))
    assert merged.graph == modular.graph
    assert torch.equal(merged.weight, modular.weight)
    assert torch.equal(merged.bias, modular.bias)
    assert torch.equal(merged.labels, modular.labels)
    assert (merged.solver, merged.activation) == (modular.solver, modular.activation)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 1)])
def test_what_is_trained_in_one_part_is_trained_when_merged(frozen):
    parts = parts_of_any_sizes(4, 2)
    for number in frozen:
        parts[number].requires_grad_(False)
    merged = merge(parts)
    assert {one.requires_grad for one in merged.parameters()} == {len(frozen) == 1}


def parts_of_any_sizes(*sizes, num_inputs=3, num_outputs=2, direct=True, **kwargs):
    parts = []
    for seed, size in enumerate(sizes):
        graph = UnitGraph.complete(num_inputs, size, num_outputs)
        if direct:
            edges = torch.tensor([[0], [num_inputs + size]])
            counts = graph.num_units, num_inputs, num_outputs
            graph = UnitGraph(torch.cat([graph.edge_index, edges], dim=1), *counts)
        part = SynchronousGraph(graph, Unrolled(3), "tanh", dtype=torch.float64, **kwargs)
        part.reset_parameters(generator(seed))
        parts.append(part)
    return parts


def test_layers_that_were_never_together_add_up():
    parts = parts_of_any_sizes(4, 2, 7)
    merged = merge(parts)
    x = normal(5, 3)
    torch.testing.assert_close(merged(x), sum(part(x) for part in parts), rtol=1e-12, atol=1e-12)
    expected = [-1] * 3 + [0] * 4 + [1] * 2 + [2] * 7 + [-1] * 2
    assert merged.labels.tolist() == expected
    # The edge from input 0 to the first output is in all of them, and once in the whole.
    assert merged.graph.num_edges == sum(part.graph.num_edges for part in parts) - 2
    again = split(merged)
    torch.testing.assert_close(sum(part(x) for part in again), merged(x), rtol=1e-12, atol=1e-12)


def test_some_of_the_parts_can_be_merged():
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2), dtype=torch.float64)
    labels = torch.full((17,), -1)
    labels[3:15] = torch.arange(12) % 3
    parts = split(cut(layer, labels))
    merged = merge([parts[2], parts[0]])
    x = normal(5, 3)
    torch.testing.assert_close(merged(x), parts[0](x) + parts[2](x), rtol=1e-12, atol=1e-12)
    # In the order of the whole layer: units 3, 6, ... were in module 0 and are in part 1 now.
    assert merged.labels[3:11].tolist() == [1, 0] * 4


def test_parts_that_were_trained_on_their_own_are_merged():
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2), dtype=torch.float64)
    labels = torch.full((17,), -1)
    labels[3:15] = torch.arange(12) % 3
    parts = split(cut(layer, labels))
    for part in parts:
        optimizer = torch.optim.SGD(part.parameters(), lr=0.1)
        part(normal(8, 3)).square().mean().backward()
        optimizer.step()
    x = normal(5, 3, seed=1)
    torch.testing.assert_close(
        merge(parts)(x), sum(part(x) for part in parts), rtol=1e-12, atol=1e-12
    )


def test_the_parts_of_a_scaled_equilibrium_are_merged_as_they_were_scaled():
    solver = Equilibrium(tol=1e-13, max_steps=1000, contraction=0.5)
    layer = SynchronousGraph(UnitGraph.complete(3, 12, 2), solver, "tanh", dtype=torch.float64)
    labels = torch.full((17,), -1)
    labels[3:15] = torch.arange(12) % 3
    with torch.no_grad():
        layer.weight.mul_(5)
    modular = cut(layer, labels)
    x = normal(5, 3)
    torch.testing.assert_close(merge(split(modular))(x), modular(x), rtol=1e-9, atol=1e-9)


def test_parts_that_disagree_about_feedback_are_refused():
    # Inputs 0, hidden 1, outputs 2 and 3 with an edge from 2 to 3.
    graph = UnitGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4, 1, 2)
    first = SynchronousGraph(graph, Unrolled(4), dtype=torch.float64)
    second = copy.deepcopy(first)
    x = normal(5, 1)
    torch.testing.assert_close(merge([first, second])(x), first(x) + second(x))
    with torch.no_grad():
        second.weight[2] += 1
    with pytest.raises(ValueError, match=r"agree about the edges from output 0 .*parts? 0"):
        merge([first, second])


def test_an_output_that_feeds_back_into_one_part_and_belongs_to_another_is_refused():
    feeds_back = UnitGraph(torch.tensor([[0, 1, 2], [1, 2, 1]]), 3, 1, 1)
    plain = UnitGraph(torch.tensor([[0, 1], [1, 2]]), 3, 1, 1)
    layers = [SynchronousGraph(graph, Unrolled(4)) for graph in (feeds_back, plain)]
    with pytest.raises(ValueError, match=r"agree about the edges from output 0"):
        merge(layers)
    with torch.no_grad():
        layers[1].bias[1] = 0
    without_output = SynchronousGraph(UnitGraph(torch.tensor([[0], [1]]), 3, 1, 1), Unrolled(4))
    with torch.no_grad():
        without_output.bias[1] = 0
    x = torch.rand(4, 1, generator=generator(0))
    merged = merge([layers[0], without_output])
    torch.testing.assert_close(merged(x), layers[0](x))
    assert merged.labels.tolist() == [-1, 0, 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_inputs": 4}, r"same number of inputs \(got 3 for part 0 and 4 for part 1\)"),
        ({"num_outputs": 1}, r"same number of outputs \(got 2 for part 0 and 1 for part 1\)"),
    ],
)
def test_parts_of_other_sizes_are_refused(change, message):
    (first,) = parts_of_any_sizes(4, direct=False)
    (second,) = parts_of_any_sizes(4, direct=False, **change)
    with pytest.raises(ValueError, match=message):
        merge([first, second])


def test_parts_that_compute_otherwise_are_refused():
    first, second = parts_of_any_sizes(4, 4)
    second.solver = Unrolled(5)
    with pytest.raises(ValueError, match=r"same solver \(got Unrolled\(steps=3"):
        merge([first, second])
    with pytest.raises(ValueError, match=r"same dtype \(got torch.float64 for part 0 and"):
        merge([first, first.__class__(first.graph, first.solver, "tanh")])
    dropping = SynchronousGraph(first.graph, first.solver, dropout=0.1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"same dropout \(got 0.0 for part 0 and 0.1"):
        merge([first, dropping])
    with pytest.raises(ValueError, match=r"at least one part \(got none\)"):
        merge([])
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        merge([first, torch.nn.Linear(3, 2)])


def test_parts_of_different_layers_are_lined_up_though_their_ids_would_fit_together():
    parts = []
    for seed, size in enumerate((4, 6)):
        layer = SynchronousGraph(UnitGraph.complete(1, size, 1), Unrolled(3), dtype=torch.float64)
        layer.reset_parameters(generator(seed))
        labels = torch.full((size + 2,), -1)
        labels[1:-1] = torch.arange(2).repeat_interleave(size // 2)
        parts.append(split(cut(layer, labels))[seed])
    merged = merge(parts)
    x = normal(5, 1)
    torch.testing.assert_close(merged(x), parts[0](x) + parts[1](x), rtol=1e-12, atol=1e-12)
    assert merged.labels.tolist() == [-1, 0, 0, 1, 1, 1, -1]


def test_a_part_without_hidden_units_leaves_no_gap_in_the_labels():
    linear = SynchronousGraph(UnitGraph.layered([4, 2]))
    nonlinear = SynchronousGraph(UnitGraph.layered([4, 3, 2]))
    merged = merge([linear, nonlinear])
    assert merged.labels.tolist() == [-1] * 4 + [0] * 3 + [-1] * 2
    x = normal(5, 4).float()
    torch.testing.assert_close(sum(part(x) for part in split(merged)), linear(x) + nonlinear(x))


def test_parts_of_layers_that_list_their_edges_in_another_order_are_merged():
    # All edges that there may be, also from inputs to outputs.
    edges = torch.cartesian_prod(torch.arange(6), torch.arange(2, 8)).T
    parts = []
    for number in range(2):
        order = torch.randperm(edges.size(1), generator=generator(number))
        graph = UnitGraph(edges[:, order], 8, 2, 2)
        layer = SynchronousGraph(graph, Unrolled(3), "tanh", dtype=torch.float64)
        layer.reset_parameters(generator(number))
        parts.append(split(cut(layer, torch.tensor([-1, -1, 0, 0, 1, 1, -1, -1])))[number])
    merged = merge(parts)
    x = normal(5, 2)
    torch.testing.assert_close(merged(x), parts[0](x) + parts[1](x), rtol=1e-12, atol=1e-12)
