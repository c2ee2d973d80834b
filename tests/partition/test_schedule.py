import pytest
import torch

from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.partition import agreement, module_sizes, normalized_cut
from pyg_modules.train import fit, seeded
from pyg_modules.train.planted import planted_problem
from tests.strategies import generator

NUM_INPUTS, NUM_HIDDEN = 3, 20


def planted(seed=0):
    """A layer with two modules of hidden units in mixed order, signed weights, weak between."""
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    rand = generator(seed)
    layer.reset_parameters(rand)
    labels = torch.full((layer.graph.num_units,), -1)
    labels[NUM_INPUTS:-2] = torch.randperm(NUM_HIDDEN, generator=rand) % 2
    source, target = labels[layer.graph.edge_index]
    with torch.no_grad():
        layer.weight.mul_(torch.where(source == target, 1.0, 0.05))
    return layer, labels


def regularizer_of(layer, **kwargs):
    return PartitionRegularizer(layer, 2, generator=generator(1), **kwargs)


def test_the_terms_are_off_then_raised_then_at_their_coefficients():
    regularizer = regularizer_of(planted()[0], ncut=2.0, balance=4.0)
    schedule = PartitionSchedule(regularizer, epochs=8)
    seen = []
    for epoch in range(8):
        schedule.step(epoch)
        seen.append((schedule.phase(epoch), regularizer.ncut, regularizer.balance))
    assert seen[:2] == [("free", 0.0, 0.0)] * 2
    assert seen[2:4] == [("ramp", 0.0, 0.0), ("ramp", 1.0, 2.0)]
    assert seen[4:] == [("full", 2.0, 4.0)] * 4
    assert regularizer.sharpness == 0.0


def test_nothing_is_computed_in_the_free_phase():
    regularizer = regularizer_of(planted()[0])
    logits = regularizer.logits.clone()
    PartitionSchedule(regularizer, epochs=8).step(1)
    assert regularizer.losses() == {}
    assert torch.equal(regularizer.logits, logits)


def test_the_modules_are_read_off_the_weights_at_the_end_of_the_free_phase():
    layer, expected = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=8)
    schedule.step(2)
    found = regularizer.assignment().argmax(dim=1)
    assert agreement(found, expected[NUM_INPUTS:-2])["ari"] == 1.0
    assert agreement(schedule.labels(), expected)["ari"] == 1.0
    assert regularizer.assignment().max(dim=1).values.min().item() == pytest.approx(0.99)


def test_units_in_wrong_modules_are_moved():
    layer, expected = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=8)
    schedule.step(2)
    wrong = schedule.labels()
    wrong[NUM_INPUTS : NUM_INPUTS + 3] = 1 - wrong[NUM_INPUTS : NUM_INPUTS + 3]
    regularizer.set_labels(wrong)
    schedule.step(3)
    found = regularizer.assignment().argmax(dim=1)
    assert agreement(found, expected[NUM_INPUTS:-2])["ari"] == 1.0


def test_modules_are_repaired_now_and_then_and_not_at_every_epoch():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=96)
    repaired = []
    for epoch in range(96):
        with torch.no_grad():
            regularizer.logits.zero_()
        schedule.step(epoch)
        if regularizer.logits.any():
            repaired.append(epoch)
    assert repaired == list(range(24, 96, 4))


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3])
def test_sizes_are_within_the_tolerance(tolerance):
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    layer.reset_parameters(generator(3))
    schedule = PartitionSchedule(regularizer_of(layer), epochs=4, tolerance=tolerance)
    for epoch in range(4):
        assert max(module_sizes(schedule.labels())) <= NUM_HIDDEN / 2 * (1 + tolerance)
        schedule.step(epoch)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_training_works_too(epochs):
    layer, _ = planted()
    schedule = PartitionSchedule(regularizer_of(layer), epochs=epochs)
    for epoch in range(epochs):
        schedule.step(epoch)
    assert sum(module_sizes(schedule.labels())) == NUM_HIDDEN


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"regularizer": torch.nn.Linear(1, 1)}, TypeError, r"PartitionRegularizer \(got Linear\)"),
        ({"epochs": 0}, ValueError, r"epochs >= 1 \(got 0\)"),
        ({"epochs": 1.5}, TypeError, r"epochs to be an int \(got float"),
        ({"tolerance": -0.1}, ValueError, r"tolerance >= 0 \(got -0.1\)"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    settings = {"regularizer": regularizer_of(planted()[0]), "epochs": 4, **arguments}
    with pytest.raises(error, match=message):
        PartitionSchedule(settings.pop("regularizer"), settings.pop("epochs"), **settings)


def test_an_epoch_that_is_no_count_is_refused():
    schedule = PartitionSchedule(regularizer_of(planted()[0]), epochs=4)
    with pytest.raises(ValueError, match=r"epoch >= 0 \(got -1\)"):
        schedule.step(-1)


def train_on_sub_tasks(seed):
    problem = planted_problem(2, "linear-threshold", num_train=1000, num_test=500, seed=seed)
    with seeded(seed):
        graph = UnitGraph.complete(problem.num_inputs, 16, problem.num_outputs)
        layer = SynchronousGraph(graph, Unrolled(steps=3))
        regularizer = PartitionRegularizer(layer, 2, scope="all")
    schedule = PartitionSchedule(regularizer, epochs=60, seed=seed)
    fit(
        layer,
        problem,
        epochs=60,
        seed=seed,
        loss=problem.loss,
        one_cycle=False,
        weight_decay=0.3,
        schedule=schedule,
    )
    return problem, layer, schedule.labels()


def test_independent_sub_tasks_become_the_modules():
    problem, layer, labels = train_on_sub_tasks(seed=0)
    assert agreement(labels, problem.owners(16))["ari"] == 1.0
    assert normalized_cut(layer.graph.edge_index, layer.weight, labels) < 0.01
    with torch.no_grad():
        before = problem.score(layer(problem.test_x), problem.test_y)
        after = problem.score(cut(layer, labels)(problem.test_x), problem.test_y)
    assert before > 0.95
    assert abs(after - before) <= 0.01


def test_the_same_seed_organises_in_the_same_way():
    (_, first, labels), (_, second, others) = (train_on_sub_tasks(seed=1) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(labels, others)
