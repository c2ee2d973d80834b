import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.partition import agreement
from pyg_modules.partition.influence import labels_by_influence
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.partition.units import Units
from tests.strategies import generator, seeds

# Tasks of unequal sizes, interleaved.
OF_INPUTS = torch.tensor([0, 1, 0, 2, 1, 0, 2, 0])
OF_OUTPUTS = torch.tensor([2, 0, 1, 0, 2])


def layer_of(num_hidden=12, seed=0):
    graph = UnitGraph.complete(len(OF_INPUTS), num_hidden, len(OF_OUTPUTS))
    return SynchronousGraph(graph, Unrolled(3), generator=generator(seed))


def influence_of_tasks(across=0.4, seed=0):
    """That within a task is 1, and that across so much at most."""
    same = OF_INPUTS.unsqueeze(1) == OF_OUTPUTS
    return torch.where(same, 1.0, across * torch.rand(same.shape, generator=generator(seed)))


def found(layer, influence, num_modules=3, scope="all", tolerance=0.5, sizes="equal", **kwargs):
    """The first labels that are found, if any are."""
    units = Units(layer, scope=scope, **kwargs)
    labels = labels_by_influence(
        units, num_modules, influence, tolerance=tolerance, seed=0, any_sizes=sizes == "any"
    )
    return next(iter(labels), None)


@pytest.mark.parametrize("seed", range(10))
def test_inputs_and_outputs_of_a_task_are_in_one_module_whatever_the_weights_are(seed):
    labels = found(layer_of(seed=seed), influence_of_tasks(seed=seed))
    ends = torch.cat([labels[: len(OF_INPUTS)], labels[-len(OF_OUTPUTS) :]])
    assert agreement(ends, torch.cat([OF_INPUTS, OF_OUTPUTS]))["ari"] == 1


def test_hidden_units_are_where_their_weights_lead():
    layer = layer_of()
    graph = layer.graph
    owner = torch.cat([OF_INPUTS, torch.arange(graph.num_hidden) % 3, OF_OUTPUTS])
    source, target = graph.edge_index
    with torch.no_grad():
        layer.weight.mul_(torch.where(owner[source] == owner[target], 1.0, 0.1))
    labels = found(layer, influence_of_tasks())
    assert agreement(labels, owner)["ari"] == 1


def test_with_hidden_units_alone_inputs_and_outputs_are_shared():
    layer = layer_of()
    labels = found(layer, influence_of_tasks(), scope="hidden", tolerance=0.0)
    hidden = slice(layer.graph.hidden.start, layer.graph.hidden.stop)
    assert labels[hidden].bincount().tolist() == [4, 4, 4]
    assert (labels[: hidden.start] == -1).all()
    assert (labels[hidden.stop :] == -1).all()


def test_the_larger_task_is_the_larger_module():
    layer = layer_of(num_hidden=3)
    labels = found(layer, influence_of_tasks(across=0.0), capacities=[5, 4, 7], tolerance=0.0)
    assert labels.bincount().tolist() == [5, 4, 7]
    assert (labels[: len(OF_INPUTS)][OF_INPUTS == 0] == 2).all()


@pytest.mark.parametrize("num_hidden", [3, 12, 13])
def test_modules_of_any_sizes_have_what_belongs_to_them_and_equal_shares_of_the_rest(num_hidden):
    labels = found(layer_of(num_hidden=num_hidden), influence_of_tasks(), sizes="any", tolerance=0)
    truth = torch.cat([OF_INPUTS, OF_OUTPUTS])
    ends = torch.cat([labels[: len(OF_INPUTS)], labels[-len(OF_OUTPUTS) :]])
    assert agreement(ends, truth)["ari"] == 1
    hidden = labels[len(OF_INPUTS) : -len(OF_OUTPUTS)].bincount(minlength=3)
    assert hidden.sum() == num_hidden
    assert hidden.max() - hidden.min() <= 1


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
def test_modules_of_any_sizes_come_before_those_of_equal_sizes_where_they_have_inputs(scope):
    of_tasks = interaction_of_tasks() if scope == "inputs" else influence_of_tasks()
    units = Units(layer_of(), scope=scope)
    options = {"tolerance": 0.0, "seed": 0}
    (equal,) = labels_by_influence(units, 3, of_tasks, **options)
    *own, last = labels_by_influence(units, 3, of_tasks, any_sizes=True, **options)
    assert torch.equal(last, equal)
    sizes = {"hidden": [], "inputs": [[6, 6, 8]], "all": [[7, 8, 10]]}[scope]
    assert [sorted(labels[labels >= 0].bincount().tolist()) for labels in own] == sizes


@pytest.mark.parametrize("levels", [(12,), (9, 12), (9, 9, 9)])
def test_in_every_level_modules_of_any_sizes_have_what_belongs_to_them(levels):
    """The task of most inputs has the fewest outputs."""
    of_inputs = torch.tensor([0] * 20 + [1] * 2 + [2] * 2)
    of_outputs = torch.tensor([0] * 2 + [1] * 8 + [2] * 2)
    graph = UnitGraph.layered([len(of_inputs), *levels, len(of_outputs)])
    layer = SynchronousGraph(graph, Unrolled(len(levels)), generator=generator(0))
    influence = (of_inputs.unsqueeze(1) == of_outputs).double()
    labels = found(layer, influence, sizes="any", tolerance=0)
    ends = torch.cat([labels[: len(of_inputs)], labels[-len(of_outputs) :]])
    assert agreement(ends, torch.cat([of_inputs, of_outputs]))["ari"] == 1
    hidden = labels[len(of_inputs) : -len(of_outputs)].split(levels)
    assert [own.bincount().tolist() for own in hidden] == [[size // 3] * 3 for size in levels]


def test_an_input_without_influence_goes_where_its_weights_lead():
    layer, influence = layer_of(), influence_of_tasks(across=0.0)
    influence[3] = 0
    source, target = layer.graph.edge_index
    outputs = layer.graph.outputs.start
    with torch.no_grad():  # Of the second task is the first unit alone, and it reads this input.
        layer.weight.fill_(1e-3)
        layer.weight[(source == 3) & (target == 8)] = 1.0
        layer.weight[(source == 8) & (target == outputs + 2)] = 1.0
    labels = found(layer, influence)
    assert labels[3] == labels[8] == labels[outputs + 2]


@given(st.integers(2, 4), st.integers(4, 9), st.integers(6, 20), seeds)
@settings(max_examples=50, deadline=None)
def test_sizes_are_within_their_bounds_and_all_units_live(num_modules, num_ends, num_hidden, seed):
    graph = UnitGraph.complete(num_ends, num_hidden, num_ends)
    layer = SynchronousGraph(graph, Unrolled(3), generator=generator(seed))
    influence = torch.rand(num_ends, num_ends, generator=generator(seed))
    units = Units(layer, scope="all")
    (labels,) = labels_by_influence(units, num_modules, influence, tolerance=0.1, seed=0)
    bounds, sizes = units.bounds(num_modules, 0.1), labels.bincount().numpy()
    assert (bounds.smallest[0] <= sizes).all()
    assert (sizes <= bounds.largest[0]).all()
    assert Liveliness.of(graph, labels, 3).num_dead == 0


def interaction_of_tasks(across=0.3, seed=0):
    """That within a task is 1, and that across so much at most."""
    same = OF_INPUTS.unsqueeze(1) == OF_INPUTS
    between = across * torch.rand(same.shape, generator=generator(seed))
    return torch.where(same, 1.0, between + between.T).fill_diagonal_(0)


@pytest.mark.parametrize("seed", range(5))
def test_inputs_that_interact_are_in_one_module_and_outputs_are_shared(seed):
    layer = layer_of(seed=seed)
    labels = found(layer, interaction_of_tasks(seed=seed), scope="inputs")
    assert agreement(labels[: len(OF_INPUTS)], OF_INPUTS)["ari"] == 1
    assert set(labels[layer.graph.outputs.start :].tolist()) == {-1}
    assert Liveliness.of(layer.graph, labels, 3).num_dead == 0
    sizes = found(layer, interaction_of_tasks(), scope="inputs", sizes="any", tolerance=0.0)
    assert (sizes[layer.graph.hidden.start : -len(OF_OUTPUTS)]).bincount().tolist() == [4, 4, 4]


def test_an_input_that_acts_alone_goes_where_its_weights_lead():
    layer, interaction = layer_of(), interaction_of_tasks(across=0.0)
    interaction[3] = interaction[:, 3] = 0
    source, target = layer.graph.edge_index
    with torch.no_grad():  # The first hidden unit reads it, and an input of the second task.
        layer.weight.fill_(1e-3)
        layer.weight[((source == 3) | (source == 1)) & (target == 8)] = 1.0
    labels = found(layer, interaction, scope="inputs")
    assert labels[3] == labels[8] == labels[1]


def test_nothing_is_found_where_too_few_inputs_interact():
    layer, interaction = layer_of(), interaction_of_tasks()
    interaction[2:] = interaction[:, 2:] = 0
    assert found(layer, interaction, scope="inputs") is None
    assert found(layer, torch.full((8, 8), torch.nan), scope="inputs") is None
    assert found(layer, None, scope="inputs") is None


def test_nothing_is_found_where_outputs_say_too_little():
    layer, influence = layer_of(), influence_of_tasks()
    assert found(layer, None) is None
    assert found(layer, influence, num_modules=6, scope="hidden") is None
    influence[:, 1] = 0
    assert found(layer, influence) is None
