import copy

import numpy
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.partition import (
    LOSSES,
    METHODS,
    Loss,
    Units,
    agreement,
    module_sizes,
    partition_units,
    suggest_num_modules,
)
from pyg_modules.partition.units import EdgeList
from tests.references import dense_ncut
from tests.strategies import KnowsItsTask, generator, seeds, unit_graphs, units_of

NUM_INPUTS, NUM_HIDDEN = 2, 12
HIDDEN = slice(NUM_INPUTS, NUM_INPUTS + NUM_HIDDEN)


class Factors(nn.Module):
    """A model that is no layer of ours: the weight of an edge is a product of two parameters."""

    def __init__(self, graph, seed=0):
        super().__init__()
        self.graph = graph
        self.register_buffer("labels", None)
        shape = 2, graph.num_edges
        self.factors = nn.Parameter(
            torch.randn(shape, dtype=torch.float64, generator=generator(seed))
        )

    @property
    def device(self):
        return self.factors.device

    def edge_weight(self):
        return self.factors.prod(dim=0)


def planted():
    """Two modules of hidden units in mixed order: directed, signed, asymmetric, weak between."""
    model = Factors(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 1))
    labels = torch.full((model.graph.num_units,), -1)
    labels[HIDDEN] = torch.randperm(NUM_HIDDEN, generator=generator(1)) % 2
    source, target = labels[model.graph.edge_index]
    with torch.no_grad():
        model.factors += model.factors.sign()
        model.factors[0] *= torch.where(source == target, 1.0, 0.02)
    return model, labels


def dense_matrix(model, units, affinity):
    """The symmetric affinities of ``units``, a range, as in the docstring."""
    graph = model.graph
    matrix = torch.zeros(graph.num_units, graph.num_units, dtype=torch.float64)
    matrix[tuple(graph.edge_index)] = model.edge_weight().detach()
    matrix = matrix.abs() if affinity == "abs" else matrix**2
    return ((matrix + matrix.T) / 2)[units.start : units.stop, units.start : units.stop]


@given(
    unit_graphs(min_hidden=2),
    st.sampled_from(["hidden", "inputs", "all"]),
    st.sampled_from(["abs", "square"]),
)
def test_affinities_equal_a_dense_reference(graph, scope, affinity):
    model = Factors(graph)
    units = Units(model, scope=scope, affinity=affinity)
    ids = units_of(graph, scope)
    assert units.members.nonzero().flatten().tolist() == list(ids)
    assert len(units) == len(ids)
    expected = dense_matrix(model, ids, affinity)
    assume(bool((expected - expected.diagonal().diag()).any()))
    matrix = units.affinity_matrix()
    numpy.testing.assert_allclose(matrix.toarray(), expected.numpy(), rtol=1e-12)
    assert (matrix.data != 0).all()
    edges, dense = units.edges, torch.zeros(len(ids), len(ids), dtype=torch.float64)
    dense[edges.source, edges.target] = units.magnitudes().detach()
    torch.testing.assert_close((dense + dense.T) / 2, expected)


@given(
    unit_graphs(min_inputs=2, min_hidden=2, min_outputs=2),
    st.sampled_from(["abs", "square"]),
    seeds,
)
def test_another_model_has_the_losses_and_gradients_of_a_dense_reference(graph, affinity, seed):
    source, target = graph.edge_index
    assume(bool((source != target).any()))
    model = Factors(graph, seed)
    regularizer = PartitionRegularizer(
        model, 2, scope="all", affinity=affinity, generator=generator(seed)
    )
    loss = regularizer.losses()["ncut"]
    assignment = regularizer.assignment()
    expected = dense_ncut(graph.edge_index, model.edge_weight(), assignment, affinity)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
    # The gradient in the assignment is the full one; in the weights, volumes are constants.
    gradients = torch.autograd.grad(loss, (regularizer.logits, model.factors))
    of_logits = torch.autograd.grad(expected, regularizer.logits)[0]
    torch.testing.assert_close(gradients[0], of_logits, rtol=0, atol=1e-10)
    weight = model.edge_weight()
    strength = weight.abs() if affinity == "abs" else weight**2
    terms = []
    for column in assignment.detach().T:
        volume = (strength * (column[source] + column[target])).sum() / 2
        inside = (strength * column[source] * column[target]).sum()
        terms.append((volume - inside) / volume.detach())
    of_factors = torch.autograd.grad(torch.stack(terms).mean(), model.factors)[0]
    torch.testing.assert_close(gradients[1], of_factors, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["refine", "spectral"])
def test_another_model_is_partitioned_and_left_as_it_is(method):
    model, expected = planted()
    before = copy.deepcopy(model.state_dict())
    labels = partition_units(model, 2, method=method)
    assert agreement(labels, expected)["ari"] == 1.0
    assert torch.equal(labels == -1, expected == -1)
    assert suggest_num_modules(model, max_modules=5).num_modules == 2
    assert torch.equal(model.factors, before["factors"])
    assert model.factors.grad is None


def test_another_model_is_organised_by_a_schedule():
    model, expected = planted()
    regularizer = PartitionRegularizer(model, 2, generator=generator(0))
    assert regularizer.layer is model
    assert [name for name, _ in regularizer.named_parameters()] == ["logits"]
    assert regularizer.logits.dtype == torch.float64
    schedule = PartitionSchedule(regularizer, epochs=8, probe=KnowsItsTask())
    parameters = [*model.parameters(), *schedule.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    source, target = expected[model.graph.edge_index]
    between = (source >= 0) & (target >= 0) & (source != target)
    first = model.edge_weight()[between].abs().sum().item()
    for epoch in range(8):
        schedule.step(epoch)
        optimizer.zero_grad()
        regularizer().backward()
        optimizer.step()
    assert agreement(schedule.labels(), expected)["ari"] == 1.0
    assert model.edge_weight()[between].abs().sum().item() < first


def test_another_model_that_is_cut_already_is_refused():
    model, labels = planted()
    model.labels = labels
    with pytest.raises(ValueError, match=r"not cut yet \(got one made by cut\)"):
        PartitionRegularizer(model, 2)


def test_without_training_of_weights_magnitudes_have_no_gradient():
    model, _ = planted()
    assert Units(model).magnitudes().requires_grad
    frozen = Units(model, train_weights=False)
    assert not frozen.magnitudes().requires_grad
    torch.testing.assert_close(frozen.magnitudes(), Units(model).magnitudes().detach())


def test_edges_are_found_once_per_graph_and_scope():
    model, _ = planted()
    hidden = Units(model).edges
    assert Units(Factors(model.graph, seed=1), affinity="square").edges is hidden
    assert Units(model, scope="all").edges is not hidden


def test_labels_go_to_all_units_and_back():
    model, labels = planted()
    units = Units(model)
    own = units.labels_of_members(labels, 2)
    assert torch.equal(own, labels[HIDDEN])
    assert torch.equal(units.labels_of_all(own), labels)
    everyone = Units(model, scope="all")
    assert torch.equal(everyone.labels_of_all(torch.arange(15)), torch.arange(15))


def test_replaced_units_are_the_same_but_for_what_is_named():
    model, _ = planted()
    settings = {"scope": "all", "affinity": "square", "capacities": (3, 12), "train_weights": False}
    units = Units(model, **settings)
    for name, value in (("scope", "inputs"), ("affinity", "abs"), ("capacities", None)):
        other = units.replaced(**{name: value})
        assert other.layer is model
        assert {name: getattr(other, name) for name in settings} == {**settings, name: value}


def test_bounds_follow_the_capacities():
    model, _ = planted()
    assert Units(model).bounds(5).smallest.tolist() == [[2] * 5]
    bounds = Units(model, capacities=iter([4, 8])).bounds(2, tolerance=0.25)
    assert (bounds.smallest.tolist(), bounds.largest.tolist()) == ([[3, 6]], [[5, 10]])


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (nn.Sequential(SynchronousGraph(UnitGraph.complete(2, 4, 1))), "Sequential"),
        (UnitGraph.complete(2, 4, 1), "UnitGraph"),
        (SynchronousGraph, "type"),
        (None, "NoneType"),
    ],
)
def test_what_cannot_be_partitioned_is_refused(thing, name):
    message = rf"Partitionable, such as a SynchronousGraph \(got {name}\). Pass the layer itself"
    for use in (Units, suggest_num_modules):
        with pytest.raises(TypeError, match=message):
            use(thing)
    for use in (partition_units, PartitionRegularizer):
        with pytest.raises(TypeError, match=message):
            use(thing, 2)


def test_weights_that_do_not_fit_the_graph_are_refused():
    graph = UnitGraph.complete(0, 3, 0)
    units = Units(EdgeList(graph, torch.ones(8)))
    for use in (units.magnitudes, units.affinity_matrix):
        with pytest.raises(ValueError, match=r"one weight per edge, \[9\] \(got \[8\]\)"):
            use()
    with pytest.raises(TypeError, match=r"edge_weight to be a Tensor \(got list\)"):
        EdgeList.of(graph.edge_index, [1.0] * 9, 3)


def association(units, assignment):
    """A loss of a user: the magnitude of weights within modules."""
    edges = units.edges
    inside = (assignment[edges.source] * assignment[edges.target]).sum(dim=1)
    return (units.magnitudes() * inside).sum()


def test_a_loss_that_is_added_to_the_table_is_a_term_by_its_name(monkeypatch):
    monkeypatch.setitem(LOSSES, "association", Loss(association))
    model, _ = planted()
    assert "association" not in PartitionRegularizer(model, 2).losses()
    regularizer = PartitionRegularizer(
        model, 2, ncut=0.0, balance=2.0, association=0.5, generator=generator(0)
    )
    assert repr(regularizer) == (
        "PartitionRegularizer(num_modules=2, balance=2.0, association=0.5, scope='hidden')"
    )
    matrix = dense_matrix(model, model.graph.hidden, "abs")
    assignment = regularizer.assignment()
    expected = (assignment.T @ matrix @ assignment).trace()
    losses = regularizer.losses()
    assert list(losses) == ["balance", "association"]
    torch.testing.assert_close(losses["association"], expected)
    torch.testing.assert_close(regularizer(), 2 * losses["balance"] + 0.5 * expected)
    regularizer().backward()
    assert model.factors.grad.any()
    regularizer.association = 0.0
    assert list(regularizer.losses()) == ["balance"]
    # In a schedule too.
    regularizer.association = 4.0
    schedule = PartitionSchedule(regularizer, epochs=20, probe=KnowsItsTask())
    schedule.step(10)
    schedule.step(11)
    coefficient, loss = schedule.penalties()["association"]
    assert coefficient == 2.0
    torch.testing.assert_close(loss, regularizer.losses()["association"])


def test_the_default_coefficient_of_a_loss_is_that_of_the_table(monkeypatch):
    monkeypatch.setitem(LOSSES, "association", Loss(association, 0.25))
    assert PartitionRegularizer(planted()[0], 2).association == 0.25


def test_coefficients_of_no_loss_are_refused_with_the_names_of_all():
    with pytest.raises(TypeError, match=r"'ncut', 'balance', 'cost_balance', 'sharpness' \(got"):
        PartitionRegularizer(planted()[0], 2, association=1.0)


@pytest.mark.parametrize(("capacities", "sizes"), [(None, [6, 6]), ([4, 8], [4, 8])])
def test_a_method_that_is_added_to_the_table_is_repaired(monkeypatch, capacities, sizes):
    seen = []

    def alone(affinity, bounds, *, seed):
        seen.append((affinity, bounds.largest.tolist(), seed))
        return numpy.zeros(affinity.shape[0], dtype=numpy.int64)

    monkeypatch.setitem(METHODS, "alone", alone)
    model, _ = planted()
    labels = partition_units(model, 2, method="alone", capacities=capacities, seed=7)
    assert module_sizes(labels) == sizes
    ((affinity, largest, seed),) = seen
    expected = dense_matrix(model, model.graph.hidden, "abs")
    numpy.testing.assert_allclose(affinity.toarray(), expected.numpy(), rtol=1e-12)
    assert (largest, seed) == ([sizes], 7)
    with pytest.raises(ValueError, match=r"'metis', 'alone' \(got 'other'\)"):
        partition_units(model, 2, method="other")


@pytest.mark.parametrize("name", ["labels", "strength", "units", "layer", "logits", "forward"])
def test_a_loss_may_not_have_the_name_of_something_else(monkeypatch, name):
    monkeypatch.setitem(LOSSES, name, Loss(association))
    with pytest.raises(ValueError, match=rf"names of their own \(got '{name}'"):
        PartitionRegularizer(planted()[0], 2)


def test_a_device_that_is_a_string_is_refused():
    class Named(Factors):
        device = "cpu"

    model = Named(UnitGraph.complete(1, 3, 1))
    with pytest.raises(TypeError, match=r"torch.device \(got 'cpu'\). Use torch.device\('cpu'\)"):
        Units(model)
