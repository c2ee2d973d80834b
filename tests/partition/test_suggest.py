import dataclasses
from unittest.mock import Mock

import numpy
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, UnitGraph, partition_units
from pyg_modules.partition import ModuleSuggestion, suggest, suggest_num_modules
from tests.strategies import generator, layers, units_of


def layer_with(graph, weight):
    layer = SynchronousGraph(graph, backend="scatter", dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight, dtype=torch.float64))
    return layer


def planted(sizes, *, across=0.02, density=0.5, isolated=0, seed=0):
    """Blocks of hidden units, joined weakly: directed, signed, asymmetric, in mixed order.

    The strong weights of inputs and outputs join all units.
    """
    rand = generator(seed)
    block = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    block = block[torch.randperm(len(block), generator=rand)]
    graph = UnitGraph.complete(3, len(block) + isolated, 2)
    source, target = graph.edge_index - 3
    hidden = (source >= 0) & (source < len(block)) & (target >= 0) & (target < len(block))
    same = torch.zeros_like(hidden)
    same[hidden] = block[source[hidden]] == block[target[hidden]]
    others = (source < 0) | (target >= len(block) + isolated)
    kept = others | (hidden & (torch.rand(len(source), generator=rand) < density))
    graph = UnitGraph(graph.edge_index[:, kept], graph.num_units, 3, 2)
    weight = torch.rand(len(source), dtype=torch.float64, generator=rand) + 1
    weight[torch.rand(len(source), generator=rand) < 0.5] *= -1
    weight = torch.where(others, 100 * weight, torch.where(same, weight, across * weight))
    return layer_with(graph, weight[kept])


def reference_eigenvalues(layer, scope="hidden", affinity="abs"):
    """All of them, from a dense matrix, written down as in the docstring."""
    graph = layer.graph
    matrix = numpy.zeros((graph.num_units, graph.num_units))
    matrix[tuple(graph.edge_index.numpy())] = layer.weight.detach().numpy()
    units = units_of(graph, scope)
    matrix = abs(matrix)[numpy.ix_(units, units)] ** (1 if affinity == "abs" else 2)
    matrix = (matrix + matrix.T) / 2
    linked = (matrix - numpy.diag(matrix.diagonal()) > 0).any(axis=1)
    matrix = matrix[numpy.ix_(linked, linked)]
    strength = matrix.sum(axis=1)
    laplacian = numpy.eye(len(matrix)) - matrix / numpy.sqrt(numpy.outer(strength, strength))
    return numpy.linalg.eigvalsh(laplacian)


@pytest.mark.parametrize("sizes", [[8, 8], [7, 9, 8], [6, 12, 9, 7], [8] * 7])
@pytest.mark.parametrize("affinity", ["abs", "square"])
@pytest.mark.parametrize("across", [0.0, 0.02])
def test_planted_blocks_are_counted(sizes, affinity, across):
    layer = planted(sizes, across=across)
    suggestion = suggest_num_modules(layer, max_modules=12, affinity=affinity)
    assert suggestion.num_modules == len(sizes)
    assert suggestion.gaps[len(sizes)] == max(suggestion.gaps.values())


def test_values_by_hand():
    # Two pairs, joined by 2: A = [[0, 3, 0, 0], [3, 0, 1, 0], [0, 1, 0, 3], [0, 0, 3, 0]] from
    # directed, signed weights; strengths 3, 4, 4, 3. In the basis of (1, ±1) of its mirror images
    # the normalised A is [[0, c], [c, ±1/4]] with c = 3 / sqrt(12), so x^2 -+ x/4 - 3/4 = 0.
    edges = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 3, 2]])
    layer = layer_with(UnitGraph(edges, 4, 0, 0), [-4, 2, -2, 6, 0])
    suggestion = suggest_num_modules(layer, max_modules=3)
    assert suggestion.eigenvalues == pytest.approx([0, 0.25, 1.75, 2], abs=1e-12)
    assert suggestion.gaps == pytest.approx({2: 1.5, 3: 0.25}, abs=1e-12)
    assert suggestion.num_modules == 2


def test_a_self_loop_adds_to_the_affinity_of_a_unit_with_itself():
    # A = [[2, 2, 0], [2, 0, 2], [0, 2, 2]], all strengths 4: A / 4 has 1, 1/2 and -1/2.
    edges = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 2]])
    layer = layer_with(UnitGraph(edges, 3, 0, 0), [-2, 4, -4, 2])
    suggestion = suggest_num_modules(layer, max_modules=2)
    assert suggestion.eigenvalues == pytest.approx([0, 0.5, 1.5], abs=1e-12)


@given(
    layers(min_hidden=3),
    st.sampled_from(["hidden", "inputs", "all"]),
    st.sampled_from(["abs", "square"]),
)
def test_eigenvalues_equal_a_dense_reference(layer, scope, affinity):
    expected = reference_eigenvalues(layer, scope, affinity)
    max_modules = len(expected) - 1
    assume(max_modules >= 2)
    suggestion = suggest_num_modules(layer, max_modules=max_modules, scope=scope, affinity=affinity)
    numpy.testing.assert_allclose(suggestion.eigenvalues, expected, rtol=0, atol=1e-10)
    assert min(suggestion.eigenvalues) >= 0
    assert list(suggestion.gaps) == list(range(2, max_modules + 1))
    expected_gaps = expected[2:] - expected[1:-1]
    numpy.testing.assert_allclose(list(suggestion.gaps.values()), expected_gaps, atol=1e-10)


@pytest.mark.parametrize(("across", "num_parts"), [(0.0, 3), (0.02, 1)], ids=["apart", "joined"])
def test_sparse_and_dense_solvers_agree(monkeypatch, across, num_parts):
    layer = planted([200, 210, 220], across=across, density=0.1)
    dense = suggest_num_modules(layer)
    solver = Mock(wraps=suggest.eigsh)
    monkeypatch.setattr(suggest, "eigsh", solver)
    monkeypatch.setattr(suggest, "_DENSE_UNITS", 100)
    sparse = suggest_num_modules(layer)
    assert solver.call_count == num_parts
    assert sparse.num_modules == dense.num_modules == 3
    assert sparse.eigenvalues == pytest.approx(dense.eigenvalues, abs=1e-10)
    assert suggest_num_modules(layer) == sparse
    # Too many eigenvalues for an iterative solver.
    solver.reset_mock()
    suggest_num_modules(layer, max_modules=629)
    assert solver.call_count == 0


def unconnected(sizes, seed=0):
    """Sparse modules of hidden units that nothing joins, in mixed order, of both signs."""
    rand = generator(seed)
    block = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    order = torch.randperm(len(block), generator=rand)
    starts = torch.tensor(sizes).cumsum(0) - torch.tensor(sizes)
    # A ring through every module keeps it in one piece.
    source = torch.arange(len(block))
    ring = starts[block] + (source - starts[block] + 1) % torch.tensor(sizes)[block]
    others = torch.randint(2**40, (5, len(block)), generator=rand) % torch.tensor(sizes)[block]
    target = torch.cat([ring[None], starts[block] + others]).flatten()
    edges = torch.stack([order[source.repeat(6)], order[target]]).unique(dim=1)
    weight = torch.randn(edges.size(1), dtype=torch.float64, generator=rand)
    return layer_with(UnitGraph(edges, len(block), 0, 0), weight.sign() * (1 + weight.abs()))


@pytest.mark.parametrize(
    "sizes", [[200] * 12, [1500, 700, 150, 40, 12, 5], [1100, 1200]], ids=["equal", "unequal", "2"]
)
def test_modules_that_nothing_joins_are_counted_exactly_at_any_size(sizes):
    suggestion = suggest_num_modules(unconnected(sizes))
    assert suggestion.num_modules == len(sizes)
    assert suggestion.eigenvalues[: len(sizes)] == pytest.approx([0.0] * len(sizes), abs=1e-10)
    assert suggestion.eigenvalues[len(sizes)] > 0.01


def test_isolated_units_do_not_count():
    layer = planted([8, 8, 8], isolated=5)
    assert layer.graph.num_hidden == 29
    suggestion = suggest_num_modules(layer, max_modules=23)
    assert suggestion.num_modules == 3
    expected = reference_eigenvalues(layer)
    numpy.testing.assert_allclose(suggestion.eigenvalues, expected, rtol=0, atol=1e-12)
    assert suggestion.eigenvalues[1] > 1e-3
    with pytest.raises(ValueError, match=r"max_modules from 2 to 23,.*got 24.*max_modules=23"):
        suggest_num_modules(layer, max_modules=24)
    assert suggest_num_modules(layer) == suggest_num_modules(layer, max_modules=16)


@pytest.mark.parametrize(
    ("sizes", "scope", "most"), [((6, 40, 2), "all", 2), ((3, 40, 5), "inputs", 3)]
)
def test_no_more_modules_are_considered_than_can_own_inputs_and_outputs(sizes, scope, most):
    layer = SynchronousGraph(UnitGraph.complete(*sizes), generator=generator(0))
    suggestion = suggest_num_modules(layer, scope=scope)
    assert max(suggestion.gaps) == most
    partition_units(layer, suggestion.num_modules, scope=scope)


def test_few_units_are_considered_up_to_their_number_by_default():
    assert list(suggest_num_modules(planted([4, 4])).gaps) == [2, 3, 4, 5, 6, 7]


def test_units_with_only_a_self_loop_are_isolated():
    edges = torch.tensor([[0, 1, 2, 3, 4, 4], [1, 0, 1, 2, 4, 3]])
    layer = layer_with(UnitGraph(edges, 5, 0, 0), [1, -2, 3, 1, 5, 0])
    with pytest.raises(ValueError, match=r"from 2 to 3, .*got 4"):
        suggest_num_modules(layer, max_modules=4)


def test_among_equal_gaps_the_smallest_number_is_taken():
    graph = UnitGraph.complete(0, 6, 0)
    suggestion = suggest_num_modules(layer_with(graph, torch.ones(36)), max_modules=5)
    assert suggestion.eigenvalues == pytest.approx([0, 1, 1, 1, 1, 1], abs=1e-12)
    assert suggestion.num_modules == 2


def test_the_scope_decides_which_units_are_looked_at():
    # Inputs 0, 1 and hidden 2, 3: two chains, each with its own output.
    edges = torch.tensor([[0, 2, 1, 3, 2, 3], [2, 4, 3, 5, 2, 3]])
    layer = layer_with(UnitGraph(edges, 6, 2, 2), [1, -2, 3, -1, 1, 1])
    assert suggest_num_modules(layer, max_modules=5, scope="all").num_modules == 2
    with pytest.raises(
        ValueError, match=r"scope='hidden' partitions \(got none\).*scope=\"inputs\""
    ):
        suggest_num_modules(layer)


def test_the_layer_is_left_as_it_is_and_the_suggestion_is_frozen():
    layer = planted([10, 10])
    before = layer.weight.detach().clone()
    suggestion = suggest_num_modules(layer)
    assert torch.equal(layer.weight, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        suggestion.num_modules = 3


def test_the_evidence_is_shown_as_a_table():
    suggestion = ModuleSuggestion(
        3, [0.0, 0.01, 0.0216, 0.75, 0.8], {2: 0.0116, 3: 0.7284, 4: 0.05}
    )
    assert str(suggestion) == "\n".join(
        [
            "modules  eigenvalue  next eigenvalue     gap",
            "      2      0.0100           0.0216  0.0116",
            "      3      0.0216           0.7500  0.7284  <- suggested",
            "      4      0.7500           0.8000  0.0500",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_modules": 1}, ValueError, r"max_modules >= 2 \(got 1\)"),
        ({"max_modules": 16}, ValueError, r"max_modules from 2 to 15,.*got 16.*max_modules=15"),
        ({"max_modules": 2.0}, TypeError, r"max_modules to be an int \(got float: 2.0\)"),
        ({"scope": "outputs"}, ValueError, r"'inputs', 'all' \(got 'outputs'\)"),
        ({"affinity": "cube"}, ValueError, r"'abs', 'square' \(got 'cube'\)"),
        ({"layer": torch.nn.Linear(2, 3)}, TypeError, r"SynchronousGraph \(got Linear\)"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    arguments = {"layer": planted([8, 8]), "max_modules": 4, **arguments}
    with pytest.raises(error, match=message):
        suggest_num_modules(arguments.pop("layer"), **arguments)


EDGES = torch.tensor([[0, 1, 2, 2], [1, 0, 3, 2]])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([0, 0, 0, 0], r"weights between the units that scope='hidden'.*got only zeros"),
        ([0, 0, 0, 1], "got only zeros"),
        ([1, -1, 0, 1], r"at least 3 units with weights between them \(got 2\)"),
        ([1, float("nan"), 1, 1], r"finite weights \(got NaN or infinity\).*learning rate"),
    ],
    ids=["zero", "one self-loop", "one pair", "nan"],
)
def test_weights_that_say_nothing_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        suggest_num_modules(layer_with(UnitGraph(EDGES, 4, 0, 0), weight), max_modules=2)


def test_a_layer_without_recurrent_edges_is_refused():
    for graph in (UnitGraph.layered([3, 4, 2]), UnitGraph.layered([3, 2])):
        with pytest.raises(
            ValueError, match=r"edges between the units.*Use scope=\"(inputs|all)\""
        ):
            suggest_num_modules(SynchronousGraph(graph))
    self_loops = UnitGraph(torch.tensor([[0, 1], [0, 1]]), 2, 0, 0)
    with pytest.raises(ValueError, match=r"scope='all' partitions \(got none\)\. Give"):
        suggest_num_modules(SynchronousGraph(self_loops), scope="all")


def test_more_parts_than_modules_are_refused():
    # Four pairs that nothing joins.
    edges = torch.tensor([[0, 2, 4, 6], [1, 3, 5, 7]])
    layer = layer_with(UnitGraph(edges, 8, 0, 0), [1, -2, 3, 1])
    with pytest.raises(ValueError, match=r"no weight joins \(got 3, and more.*up to 7"):
        suggest_num_modules(layer, max_modules=3)
    assert suggest_num_modules(layer, max_modules=4).num_modules == 4
