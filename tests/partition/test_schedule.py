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
from pyg_modules.datasets import planted_problem
from pyg_modules.partition import agreement, module_sizes, normalized_cut, partition_units
from pyg_modules.train import fit, seeded
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
        seen.append((schedule.phase(epoch), regularizer.strength, regularizer().item()))
    full = (2 * regularizer.losses()["ncut"] + 4 * regularizer.losses()["balance"]).item()
    assert seen[:2] == [("free", 0.0, 0.0)] * 2
    assert seen[2] == ("ramp", 0.0, 0.0)
    assert seen[3][:2] == ("ramp", 0.5)
    assert [phase for phase, *_ in seen[4:]] == ["full"] * 4
    assert [strength for _, strength, _ in seen[4:]] == [1.0] * 4
    assert seen[-1][2] == pytest.approx(full)
    assert (regularizer.ncut, regularizer.balance) == (2.0, 4.0)


@pytest.mark.parametrize(
    ("epochs", "starts"),
    [(1, [0, None, None]), (2, [0, None, 1]), (3, [0, 1, 2]), (5, [0, 2, 3]), (100, [0, 25, 50])],
)
def test_phases_begin_at_a_quarter_and_at_half_of_the_epochs(epochs, starts):
    schedule = PartitionSchedule(regularizer_of(planted()[0]), epochs=epochs)
    phases = [schedule.phase(epoch) for epoch in range(epochs)]
    begun = [phases.index(name) if name in phases else None for name in ("free", "ramp", "full")]
    assert begun == starts
    assert phases == sorted(phases, key=["free", "ramp", "full"].index)


def test_the_strength_depends_on_the_epoch_alone_and_rises_linearly():
    regularizer = regularizer_of(planted()[0])
    schedule = PartitionSchedule(regularizer, epochs=16)
    ramp = {0: 0.0, 3: 0.0, 4: 0.0, 5: 0.25, 6: 0.5, 7: 0.75, 8: 1.0, 15: 1.0, 16: 1.0, 40: 1.0}
    for epoch in [*ramp, 6, 15, 0]:
        schedule.step(epoch)
        assert regularizer.strength == ramp[epoch]


def test_a_second_schedule_starts_again():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    penalty = regularizer().item()
    PartitionSchedule(regularizer, epochs=8).step(0)
    assert regularizer().item() == 0
    second = PartitionSchedule(regularizer, epochs=8)
    second.step(7)
    labels = second.labels()
    assert module_sizes(labels) == [10, 10]
    assert 0 < regularizer().item() != penalty


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


def test_two_units_in_the_modules_of_each_other_are_swapped_back():
    layer, expected = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=8, tolerance=0.0)
    for epoch in range(7):
        schedule.step(epoch)
    wrong = schedule.labels()
    first, second = (int((wrong == module).nonzero()[0]) for module in (0, 1))
    wrong[[first, second]] = wrong[[second, first]]
    regularizer.set_labels(wrong)
    schedule.step(7)
    found = regularizer.assignment().argmax(dim=1)
    assert agreement(found, expected[NUM_INPUTS:-2])["ari"] == 1.0
    assert found.bincount().tolist() == [10, 10]


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
        sizes = module_sizes(schedule.labels())
        assert max(sizes) <= NUM_HIDDEN / 2 * (1 + tolerance)
        assert min(sizes) >= NUM_HIDDEN / 2 * (1 - tolerance)
        schedule.step(epoch)


def test_sizes_may_differ_by_half_at_first_and_are_equal_in_the_end():
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    layer.reset_parameters(generator(3))
    source, target = layer.graph.edge_index - NUM_INPUTS
    with torch.no_grad():
        layer.weight.mul_(torch.where((source < 6) == (target < 6), 1.0, 0.05))
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=16, tolerance=0.0)
    smallest = []
    for epoch in range(16):
        schedule.step(epoch)
        smallest.append(int(regularizer.assignment().argmax(dim=1).bincount().min()))
    # At least 10 - 5 units at epoch 4, then 10 - 3.75, 10 - 2.5, 10 - 1.25 and 10.
    assert smallest[4:] == [6, 7, 8, 9] + [10] * 8


def test_the_seed_is_that_of_the_search_for_modules():
    layer = SynchronousGraph(UnitGraph.complete(2, 60, 2))
    layer.reset_parameters(generator(3))
    regularizer = PartitionRegularizer(layer, 5, generator=generator(1))
    expected = [partition_units(layer, 5, tolerance=0.1, seed=seed) for seed in (0, 1)]
    assert not torch.equal(*expected)
    for seed in (0, 1):
        schedule = PartitionSchedule(regularizer, epochs=4, seed=seed)
        assert torch.equal(schedule.labels(), expected[seed])


def test_sizes_follow_the_capacities():
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    layer.reset_parameters(generator(3))
    regularizer = regularizer_of(layer, capacities=[5, 15])
    schedule = PartitionSchedule(regularizer, epochs=4, tolerance=0.0)
    for epoch in range(4):
        assert module_sizes(schedule.labels()) == [5, 15]
        schedule.step(epoch)
    assert regularizer.assignment().argmax(dim=1).bincount().tolist() == [5, 15]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_training_works_too(epochs):
    layer, _ = planted()
    schedule = PartitionSchedule(regularizer_of(layer), epochs=epochs)
    for epoch in range(epochs):
        schedule.step(epoch)
    labels = schedule.labels()
    assert labels[NUM_INPUTS:-2].unique().tolist() == [0, 1]
    assert (labels == -1).sum() == NUM_INPUTS + 2


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


@pytest.fixture(scope="module")
def trained():
    return train_on_sub_tasks(seed=0)


def test_independent_sub_tasks_become_the_modules(trained):
    problem, layer, labels = trained
    assert agreement(labels, problem.owners(16))["ari"] == 1.0
    assert normalized_cut(layer.graph.edge_index, layer.weight, labels) < 0.01
    with torch.no_grad():
        before = problem.score(layer(problem.test_x), problem.test_y)
        after = problem.score(cut(layer, labels)(problem.test_x), problem.test_y)
    assert before > 0.95
    assert abs(after - before) <= 0.01


def test_the_same_seed_organises_in_the_same_way(trained):
    _, layer, labels = trained
    torch.manual_seed(1234)
    _, again, same_labels = train_on_sub_tasks(seed=0)
    assert torch.equal(layer.weight, again.weight)
    assert torch.equal(labels, same_labels)


def test_the_penalty_of_the_free_phase_can_be_differentiated():
    regularizer = regularizer_of(planted()[0])
    PartitionSchedule(regularizer, epochs=8).step(0)
    regularizer().backward()
    assert regularizer.logits.grad is None


def test_a_second_training_reads_the_modules_off_again():
    layer, expected = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=8)
    for epoch in range(8):
        schedule.step(epoch)
    with torch.no_grad():
        regularizer.logits.zero_()
    schedule.step(0)
    schedule.step(2)
    found = regularizer.assignment().argmax(dim=1)
    assert agreement(found, expected[NUM_INPUTS:-2])["ari"] == 1.0


def test_a_resumed_schedule_goes_on_with_the_modules_that_were_found():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=96)
    for epoch in range(30):
        schedule.step(epoch)
    resumed = PartitionSchedule(regularizer_of(layer), epochs=96)
    resumed.regularizer.load_state_dict(regularizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    resumed.step(30)
    assert torch.equal(resumed.regularizer.logits, regularizer.logits)
    for one in (schedule, resumed):
        for epoch in range(30, 96):
            one.step(epoch)
    assert torch.equal(resumed.regularizer.logits, regularizer.logits)


def test_phases_of_epochs_that_are_none_are_refused():
    schedule = PartitionSchedule(regularizer_of(planted()[0]), epochs=4)
    with pytest.raises(ValueError, match=r"epoch >= 0 \(got -1\)"):
        schedule.phase(-1)


def test_penalties_are_the_losses_with_what_they_are_multiplied_by():
    regularizer = regularizer_of(planted()[0], ncut=2.0, balance=4.0)
    schedule = PartitionSchedule(regularizer, epochs=8)
    schedule.step(0)
    assert schedule.penalties() == {}
    schedule.step(3)
    penalties = schedule.penalties()
    assert {name: coefficient for name, (coefficient, _) in penalties.items()} == {
        "ncut": 1.0,
        "balance": 2.0,
    }
    torch.testing.assert_close(
        {name: loss for name, (_, loss) in penalties.items()}, regularizer.losses()
    )
    total = sum(coefficient * loss for coefficient, loss in penalties.values())
    torch.testing.assert_close(total, regularizer())
    total.backward()
    assert regularizer.logits.grad.any()


def test_what_is_trained_beside_the_model_are_the_logits():
    schedule = PartitionSchedule(regularizer_of(planted()[0]), epochs=8)
    (parameter,) = schedule.parameters()
    assert parameter is schedule.regularizer.logits
