import copy

import numpy
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_modules import PartitionRegularizer, SynchronousGraph, UnitGraph, cut, prune_cross_edges
from pyg_modules.partition import (
    balance_loss,
    cost_balance_loss,
    ncut_loss,
    normalized_cut,
    sharpness_loss,
)
from pyg_modules.partition.units import Units
from tests.looks import Looks
from tests.strategies import generator, layers, units_of


def complete_layer():
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2), dtype=torch.float64)
    layer.reset_parameters(torch.Generator().manual_seed(0))
    return layer


@given(
    layers(min_inputs=2, min_hidden=3, min_outputs=2), st.sampled_from(["hidden", "inputs", "all"])
)
def test_losses_are_those_of_the_partitioned_subgraph(layer, scope):
    source, target = layer.graph.edge_index
    ends = units_of(layer.graph, scope)
    inside = (source >= ends.start) & (source < ends.stop) & (target < ends.stop)
    assume(bool((inside & (target >= ends.start) & (source != target)).any()))
    assume(Units(layer, scope=scope).num_paths(2) == 2)
    regularizer = PartitionRegularizer(layer, 2, ncut=0.5, balance=2.0, scope=scope)
    graph, members = layer.graph, regularizer.members
    assert members.nonzero().view(-1).tolist() == list(ends)
    inside = members[graph.edge_index].all(dim=0)
    local = members.cumsum(0) - 1
    assignment = regularizer.assignment()
    expected = {
        "ncut": ncut_loss(local[graph.edge_index[:, inside]], layer.weight[inside], assignment),
        "balance": balance_loss(assignment),
    }
    losses = regularizer.losses()
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(regularizer(), 0.5 * losses["ncut"] + 2 * losses["balance"])


def test_weights_between_modules_shrink_and_weights_within_are_left_alone():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2, balance=0.0)
    module = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    with torch.no_grad():
        regularizer.logits.copy_(1e3 * torch.nn.functional.one_hot(module, 2))
    regularizer().backward()
    source, target = layer.graph.edge_index - 3
    hidden = (source >= 0) & (source < 8) & (target >= 0) & (target < 8)
    crossing = hidden.clone()
    crossing[hidden] = module[source[hidden]] != module[target[hidden]]
    assert (layer.weight.grad[~crossing].abs() < 1e-15).all()
    assert torch.equal(layer.weight.grad[crossing].sign(), layer.weight[crossing].sign())


@given(layers(min_inputs=2, min_hidden=3, min_outputs=2), st.sampled_from(["abs", "square"]))
def test_the_gradient_of_the_weights_takes_volumes_as_constants(layer, affinity):
    source, target = layer.graph.edge_index
    assume(bool((source != target).any()))
    assume(Units(layer, scope="all").num_paths(2) == 2)
    regularizer = PartitionRegularizer(layer, 2, balance=0.0, scope="all", affinity=affinity)
    regularizer().backward()
    weight = layer.weight.detach().requires_grad_()
    strength = weight.abs() if affinity == "abs" else weight**2
    assignment = regularizer.assignment().detach()
    terms = []
    for column in assignment.T:
        crossing = (strength * (column[source] + column[target]) / 2).sum()
        crossing = crossing - (strength * column[source] * column[target]).sum()
        volume = (strength.detach() * (column[source] + column[target]) / 2).sum()
        terms.append(crossing / volume)
    torch.stack(terms).mean().backward()
    torch.testing.assert_close(layer.weight.grad, weight.grad)


def test_its_parameters_are_the_logits_alone():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 4)
    assert [name for name, _ in regularizer.named_parameters()] == ["logits"]
    assert set(regularizer.state_dict()) == {"logits"}
    assert regularizer.logits.shape == (8, 4)
    regularizer().backward()
    assert regularizer.logits.grad.abs().sum() > 0
    assert layer.weight.grad.abs().sum() > 0


def test_labels_are_balanced_and_shared_outside_the_scope():
    regularizer = PartitionRegularizer(complete_layer(), 3)
    labels = regularizer.labels()
    assert labels[:3].tolist() == [-1] * 3
    assert labels[11:].tolist() == [-1] * 2
    assert sorted(labels[3:11].bincount().tolist()) == [2, 3, 3]
    everywhere = PartitionRegularizer(complete_layer(), 2, scope="all").labels()
    assert sorted(everywhere.bincount().tolist()) == [6, 7]


def test_training_organises_units_that_were_planted_apart():
    # Two groups of four hidden units, strong inside and weak across, in mixed order.
    layer = complete_layer()
    group = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    source, target = layer.graph.edge_index - 3
    hidden = (source >= 0) & (source < 8) & (target >= 0) & (target < 8)
    with torch.no_grad():
        layer.weight[hidden] *= torch.where(
            group[source[hidden]] == group[target[hidden]], 1.0, 0.05
        )
    layer.requires_grad_(False)
    regularizer = PartitionRegularizer(layer, 2, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(regularizer.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        regularizer().backward()
        optimizer.step()
    labels = regularizer.labels()[3:11]
    assert torch.equal(labels, group) or torch.equal(labels, 1 - group)
    assert normalized_cut(layer.graph.edge_index, layer.weight, regularizer.labels()) < 0.1


def test_a_generator_makes_it_reproducible():
    layer = complete_layer()
    first, second = (
        PartitionRegularizer(layer, 2, generator=torch.Generator().manual_seed(7)).logits
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_copies_of_layer_and_regularizer_stay_together():
    layer = complete_layer()
    copied_layer, copied = copy.deepcopy((layer, PartitionRegularizer(layer, 2)))
    assert copied.layer is copied_layer


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_modules": 1}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ({"num_modules": 9}, ValueError, r"from 2 to 8, .*got 9"),
        ({"num_modules": 14, "scope": "all"}, ValueError, r"from 2 to 13, .*got 14"),
        ({"num_modules": 2.0}, TypeError, r"an int \(got float: 2.0\)"),
        ({"scope": "outputs"}, ValueError, r"'inputs', 'all' \(got 'outputs'\)"),
        ({"affinity": "cube"}, ValueError, r"'abs', 'square' \(got 'cube'\)"),
        ({"train": "units"}, ValueError, r"'both', 'assignment', 'weights' \(got 'units'\)"),
        ({"capacities": [4, 5]}, ValueError, r"add up to 8.*\(got 9: \[4, 5\]\)"),
        ({"sharpness": -1.0}, ValueError, r"sharpness >= 0 \(got -1.0\)"),
        ({"ncut": -1.0}, ValueError, r"ncut >= 0 \(got -1.0\)"),
        ({"ncut": "1"}, TypeError, r"ncut to be a number \(got str: '1'\)"),
        ({"balance": float("nan")}, ValueError, r"balance >= 0 \(got nan\)"),
        ({"layer": torch.nn.Linear(2, 3)}, TypeError, r"SynchronousGraph \(got Linear\)"),
        ({"entropy": 1.0}, TypeError, r"unexpected keyword argument 'entropy'"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        PartitionRegularizer(**{"layer": complete_layer(), "num_modules": 2, **arguments})


def test_a_layer_on_another_device_is_refused():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2).to("meta")
    with pytest.raises(ValueError, match=r"on device cpu.*got meta.*regularizer.to\('cpu'\)"):
        regularizer()


def test_a_layer_in_another_precision_is_refused():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2)
    layer.float()
    with pytest.raises(TypeError, match=r"in torch.float32.*got torch.float64.*regularizer.to\("):
        regularizer()
    regularizer.to(torch.float32)()


def test_a_coefficient_of_0_leaves_its_term_out():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2, ncut=0.0, cost_balance=1.0, sharpness=1.0)
    assert list(regularizer.losses()) == ["balance", "cost_balance", "sharpness"]
    regularizer = PartitionRegularizer(layer, 2, ncut=0.0, balance=0.0)
    assert regularizer.losses() == {}
    assert regularizer().item() == 0
    regularizer().backward()
    assert layer.weight.grad is None
    assert regularizer.logits.grad is None


def test_the_penalty_is_the_sum_of_all_terms_times_their_coefficients():
    coefficients = {"ncut": 0.5, "balance": 2.0, "cost_balance": 3.0, "sharpness": 5.0}
    layer, capacities = complete_layer(), [2, 6]
    regularizer = PartitionRegularizer(
        layer, 2, affinity="square", capacities=capacities, **coefficients
    )
    source, target = layer.graph.edge_index - 3
    inside = (source >= 0) & (source < 8) & (target >= 0) & (target < 8)
    edges, assignment = torch.stack([source, target])[:, inside], regularizer.assignment()
    expected = {
        "ncut": ncut_loss(edges, layer.weight[inside], assignment, affinity="square"),
        "balance": balance_loss(assignment, capacities=capacities),
        "cost_balance": cost_balance_loss(edges, assignment),
        "sharpness": sharpness_loss(assignment),
    }
    torch.testing.assert_close(regularizer.losses(), expected)
    total = sum(coefficients[name] * loss for name, loss in expected.items())
    torch.testing.assert_close(regularizer(), total)


@pytest.mark.parametrize("train", ["both", "weights", "assignment"])
def test_what_is_trained_does_not_change_the_penalty(train):
    layer = complete_layer()
    both, other = (
        PartitionRegularizer(layer, 2, train=which, generator=torch.Generator().manual_seed(0))
        for which in ("both", train)
    )
    assert both().item() == other().item()
    both().backward()
    gradients = {"weights": layer.weight.grad.clone(), "assignment": both.logits.grad.clone()}
    layer.zero_grad()
    other().backward()
    for name, gradient in zip(gradients, (layer.weight.grad, other.logits.grad), strict=True):
        if train in ("both", name):
            assert torch.equal(gradient, gradients[name])


@pytest.mark.parametrize("train", ["both", "weights", "assignment"])
def test_only_what_is_to_be_trained_has_a_gradient(train):
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2, train=train)
    regularizer().backward()
    assert (layer.weight.grad is not None) == (train != "assignment")
    assert (regularizer.logits.grad is not None) == (train != "weights")


def planted_labels():
    labels = torch.full((13,), -1)
    labels[3:11] = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    return labels


def test_labels_that_are_set_come_back_with_their_confidence():
    layer, expected = complete_layer(), planted_labels()
    source, target = expected[layer.graph.edge_index]
    with torch.no_grad():
        layer.weight.mul_(torch.where(source == target, 1.0, 0.01))
    regularizer = PartitionRegularizer(layer, 2)
    regularizer.set_labels(expected, confidence=0.8)
    assert torch.equal(regularizer.labels(), expected)
    own = regularizer.assignment().gather(1, expected[3:11, None])
    torch.testing.assert_close(own, torch.full_like(own, 0.8))


@pytest.mark.parametrize("confidence", [0.3, 0.99])
def test_a_unit_belongs_to_the_other_modules_alike(confidence):
    regularizer = PartitionRegularizer(complete_layer(), 4)
    labels = torch.full((13,), -1)
    labels[3:11] = torch.tensor([3, 1, 0, 2, 1, 0, 3, 2])
    regularizer.set_labels(labels, confidence)
    expected = torch.full((8, 4), (1 - confidence) / 3, dtype=torch.float64)
    expected[torch.arange(8), labels[3:11]] = confidence
    torch.testing.assert_close(regularizer.assignment(), expected)


def test_labels_move_units_that_the_weights_place_elsewhere():
    layer, expected = complete_layer(), planted_labels()
    source, target = expected[layer.graph.edge_index]
    with torch.no_grad():
        layer.weight.mul_(torch.where(source == target, 1.0, 0.01))
    regularizer = PartitionRegularizer(layer, 2)
    swapped = expected.clone()
    swapped[[3, 4]] = expected[[4, 3]]
    regularizer.set_labels(swapped)
    logits = regularizer.logits.clone()
    assert torch.equal(regularizer.labels(), expected)
    assert torch.equal(regularizer.logits, logits)


def test_labels_that_do_not_fit_are_not_set():
    regularizer = PartitionRegularizer(complete_layer(), 2)
    before = regularizer.logits.clone()
    with pytest.raises(ValueError, match=r"between 1 / 2 and 1 \(got 0.5\)"):
        regularizer.set_labels(planted_labels(), confidence=0.5)
    shared = planted_labels()
    shared[3] = -1
    with pytest.raises(ValueError, match=r"the 8 units .*and 1 of these units without one"):
        regularizer.set_labels(shared)
    with pytest.raises(ValueError, match=r"with 2 modules.*\(got 3 modules"):
        regularizer.set_labels(torch.where(torch.arange(13) == 4, 2, planted_labels()))
    alone = torch.zeros(13, dtype=torch.long)
    alone[0] = 1  # An input, which is not partitioned.
    with pytest.raises(ValueError, match=r"got 2 modules, .*; 1 modules have none"):
        regularizer.set_labels(alone)
    with pytest.raises(ValueError, match=r"between 1 / 2 and 1 \(got 1.0\)"):
        regularizer.set_labels(planted_labels(), confidence=1.0)
    with pytest.raises(TypeError, match=r"confidence to be a number \(got str: 'x'\)"):
        regularizer.set_labels(planted_labels(), confidence="x")
    with pytest.raises(ValueError, match=r"shape \[13\].*\(got \[8\]\)"):
        regularizer.set_labels(planted_labels()[3:11])
    with pytest.raises(TypeError, match=r"LongTensor \(got torch.float32\)"):
        regularizer.set_labels(planted_labels().float())
    assert torch.equal(regularizer.logits, before)


def test_there_are_no_labels_without_finite_weights_and_logits():
    layer = complete_layer()
    regularizer = PartitionRegularizer(layer, 2)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"finite weights \(got NaN or infinity\)"):
        regularizer.labels()
    with torch.no_grad():
        layer.weight.zero_()
    with pytest.raises(ValueError, match=r"partitions \(got only zeros\)"):
        regularizer.labels()
    with torch.no_grad():
        regularizer.logits[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"finite assignment \(got NaN or infinity\)"):
        regularizer.labels()


def test_labels_keep_capacities():
    regularizer = PartitionRegularizer(complete_layer(), 2, capacities=[2, 6])
    assert regularizer.labels()[3:11].bincount().tolist() == [2, 6]
    sizes = regularizer.labels(tolerance=0.5)[3:11].bincount().tolist()
    assert sizes in ([1, 7], [2, 6], [3, 5])


def test_a_layer_that_is_cut_already_is_refused():
    modular = cut(complete_layer(), planted_labels())
    with pytest.raises(ValueError, match=r"not cut yet \(got one made by cut\)"):
        PartitionRegularizer(modular, 2)


def test_a_layer_without_edges_between_its_hidden_units_is_refused():
    layer = SynchronousGraph(UnitGraph.layered([3, 8, 2]))
    with pytest.raises(ValueError, match=r"partitions \(got none\). Use scope=\"inputs"):
        PartitionRegularizer(layer, 2)
    PartitionRegularizer(layer, 2, scope="all")


def test_the_repr_shows_what_is_not_default():
    layer = complete_layer()
    assert repr(PartitionRegularizer(layer, 2)) == (
        "PartitionRegularizer(num_modules=2, ncut=1.0, balance=3.0, scope='hidden')"
    )
    capacities = numpy.array([3, 5])
    shown = PartitionRegularizer(
        layer, 2, ncut=0, affinity="square", capacities=capacities, train="weights"
    )
    assert repr(shown) == (
        "PartitionRegularizer(num_modules=2, balance=3.0, affinity='square', capacities=(3, 5),"
        " train='weights', scope='hidden')"
    )


def test_numbers_of_numpy_are_taken_as_coefficients():
    regularizer = PartitionRegularizer(complete_layer(), 2, ncut=numpy.float32(0.5))
    assert regularizer.ncut == 0.5
    assert type(regularizer.ncut) is float


def test_at_half_strength_the_penalty_is_half():
    regularizer = PartitionRegularizer(complete_layer(), 2)
    penalty = regularizer()
    regularizer.strength = 0.5
    torch.testing.assert_close(regularizer(), penalty / 2)
    regularizer.strength = 0.0
    assert regularizer.losses() == {}


@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
def test_a_regularizer_that_was_first_used_in_inference_mode_can_be_trained():
    layer = SynchronousGraph(UnitGraph.erdos_renyi(3, 20, 2, 0.2, generator=generator(0)))
    regularizer = PartitionRegularizer(layer, 2, generator=generator(0))
    with torch.inference_mode():
        expected = regularizer()
    regularizer().backward()
    assert regularizer.logits.grad.any()
    torch.testing.assert_close(regularizer().detach(), expected.clone())


def test_edges_that_were_pruned_do_not_count():
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    labels = torch.full((13,), -1)
    labels[3:11] = torch.arange(8) % 2
    prune_cross_edges(layer, labels)
    regularizer = PartitionRegularizer(layer, 2, generator=generator(0))
    regularizer.set_labels(labels, confidence=1 - 1e-7)
    with torch.no_grad():
        layer.weight[~layer.edge_mask] = 100.0  # As an optimizer with momentum may leave them.
    assert regularizer.losses()["ncut"] < 1e-4
    assert torch.equal(regularizer.labels(), labels)
    regularizer().backward()
    assert not layer.weight.grad[~layer.edge_mask].any()


def test_a_step_waits_for_no_value():
    regularizer = PartitionRegularizer(
        SynchronousGraph(UnitGraph.complete(3, 8, 2)), 2, cost_balance=1.0, sharpness=1.0
    )
    with Looks() as asked:
        regularizer().backward()
    assert asked.count == 0
    with Looks() as asked:  # What users call by themselves is looked at, once.
        sharpness_loss(regularizer.assignment())
    assert asked.count == 1
