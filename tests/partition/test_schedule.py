import copy
from functools import cache

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.partition import (
    Verdict,
    agreement,
    module_sizes,
    normalized_cut,
    partition_units,
)
from pyg_modules.partition.judge import shuffled
from pyg_modules.train import Probe, fit, seeded
from tests.strategies import KnowsItsTask, generator, normal, verdict_of

# Schedules are stepped without a training between the steps.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The terms of the regularizer are on, but",
    "ignore:The modules are read off weights that were trained without the schedule",
)


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


@pytest.fixture(autouse=True)
def _marks_what_is_random(monkeypatch):
    """Labels at random say so."""

    def marked(*arguments):
        labels = shuffled(*arguments)
        labels.is_random = True
        return labels

    monkeypatch.setattr("pyg_modules.partition.judge.shuffled", marked)


class Losses:
    """A probe that says given losses, and remembers what it was asked for."""

    def __init__(self, uncut, cut, random):
        self.uncut, self.cut, self.random = uncut, cut, random
        self.asked = []

    def __call__(self, labels, *, trained=True):
        if labels is None:
            return self.uncut
        if trained:
            self.asked.append(labels)
        return self.random if hasattr(labels, "is_random") else self.cut

    def chance(self):
        return 1.0

    def influence(self):
        return None


def scheduled(epochs=20, layer=None, uncut=0.0, cut=0.0, random=1.0, **kwargs):
    """Of a network that knows its task and has good modules, if nothing else is said."""
    regularizer = regularizer_of(planted()[0] if layer is None else layer)
    probe = Losses(uncut, cut, random)
    return PartitionSchedule(regularizer, epochs, probe=probe, **kwargs)


def opens_at(schedule):
    """The first epoch with modules set; the schedule is stepped through all of them."""
    phases = []
    for epoch in range(schedule.epochs):
        schedule.step(epoch)
        phases.append(schedule.phase(epoch))
    return next((epoch for epoch, phase in enumerate(phases) if phase != "free"), None)


def test_the_terms_are_off_until_the_task_is_known_then_raised_to_their_coefficients():
    schedule = scheduled(epochs=40)
    regularizer = schedule.regularizer
    seen = []
    for epoch in range(40):
        schedule.step(epoch)
        seen.append((schedule.phase(epoch), regularizer.strength))
    assert seen[:12] == [("free", 0.0)] * 12
    assert seen[12:16] == [("ramp", 0.0), ("ramp", 0.25), ("ramp", 0.5), ("ramp", 0.75)]
    assert seen[16:] == [("full", 1.0)] * 24
    expected = sum(getattr(regularizer, name) * loss for name, loss in regularizer.losses().items())
    torch.testing.assert_close(regularizer(), expected)


@pytest.mark.parametrize(
    ("losses", "opened"),
    [
        # The modules cost less than a tenth of what those at random cost, and little is left.
        ((0.29, 0.36, 1.0), 10),
        ((0.29, 0.30, 0.4), 10),
        ((0.29, 0.37, 1.0), None),
        ((0.31, 0.31, 1.0), None),
        # Very little is left: the early readings are for that.
        ((0.14, 0.9, 1.0), 6),
        ((0.14, 0.15, 1.0), 6),
        ((0.16, 0.17, 1.0), 10),
        # Little is left, and it no longer falls: seen at the second reading.
        ((0.24, 0.9, 1.0), 12),
        ((0.26, 0.9, 1.0), None),
    ],
)
def test_the_terms_are_switched_on_when_the_network_knows_its_task(losses, opened):
    assert opens_at(scheduled(20, None, *losses)) == opened


def test_a_loss_that_still_falls_is_waited_for():
    schedule = scheduled(cut=0.9)
    read = dict(zip([10, 12, 14, 16, 18], [0.24, 0.22, 0.2, 0.18, 0.175], strict=True))
    phases = []
    for epoch, schedule.probe.uncut in read.items():
        schedule.step(epoch)
        phases.append(schedule.phase(epoch))
    assert phases == ["free"] * 4 + ["ramp"]  # At last by less than a twentieth.


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((0.0, 0.5, 1.0), {1: [], 2: [1], 3: [1, 2], 10: [*range(3, 10)], 20: [*range(6, 20, 2)]}),
        ((0.26, 0.5, 1.0), {1: [], 2: [1], 3: [2], 10: [*range(5, 10)], 20: [*range(10, 20, 2)]}),
        ((0.31, 0.5, 1.0), {2: [], 10: [], 20: []}),
    ],
)
def test_modules_are_read_at_every_tenth_of_the_epochs_if_much_is_learned(losses, expected):
    for epochs, when in expected.items():
        schedule = scheduled(epochs, None, *losses)
        read = []
        for epoch in range(epochs):
            before = len(schedule.probe.asked)
            schedule.step(epoch)
            if len(schedule.probe.asked) > before:
                read.append(epoch)
        assert read == when


def test_a_reading_that_was_stepped_over_is_made_at_the_next_step():
    schedule, read = scheduled(20, None, 0.0, 0.5, 1.0), []
    for epoch in [1, 5, 9, 10, 11, 15]:  # At 6 and 8, at 10, at 12 and 14.
        before = len(schedule.probe.asked)
        schedule.step(epoch)
        if len(schedule.probe.asked) > before:
            read.append(epoch)
    assert read == [9, 10, 15]


def test_the_modules_with_the_lowest_probed_loss_are_kept():
    layer, expected = planted()
    right = expected.clone()
    wrong = partition_units(layer, 2, tolerance=0.1)
    hidden = slice(NUM_INPUTS, -2)
    wrong[hidden] = wrong[hidden].roll(1)

    class Known(KnowsItsTask):
        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            return 0.0 if labels is None else 1.0 - agreement(labels, right)["ari"]

    schedule = PartitionSchedule(regularizer_of(layer), 20, probe=Known())
    schedule.load_state_dict(
        {
            "epoch": 9,
            "opened_at": None,
            "checked_at": 0,
            "factor": 1.0,
            "verdict": verdict_of(wrong, 0.0, 1.0, 1.0, 1.0).state_dict(),
        }
    )
    schedule.step(10)
    found = schedule.regularizer.assignment().argmax(dim=1)
    assert agreement(found, right[hidden])["ari"] == 1.0
    assert schedule.verdict().probed == 0.0
    assert agreement(schedule.labels(), right)["ari"] == 1.0


def test_the_present_modules_stay_if_no_others_are_better():
    layer, _ = planted()
    present = torch.full((layer.graph.num_units,), -1)
    present[NUM_INPUTS:-2] = torch.arange(NUM_HIDDEN) % 2
    schedule = scheduled(layer=layer)
    state = {"epoch": 9, "opened_at": None, "checked_at": 0, "factor": 1.0}
    schedule.load_state_dict(state | {"verdict": verdict_of(present, 0, 0, 1, 1).state_dict()})
    schedule.step(10)
    assert torch.equal(schedule.labels(), present)


@pytest.mark.parametrize(
    ("uncut", "cut", "raised"),
    [
        (0.0, 0.019, 0),
        (0.0, 0.021, 12),
        # What was learned is 0.91 of chance.
        (0.09, 0.09 + 0.019 * 0.91, 0),
        (0.09, 0.09 + 0.021 * 0.91, 12),
        # The network forgets its task.
        (0.11, 0.9, 0),
    ],
)
def test_terms_are_raised_while_a_cut_right_away_costs_much(uncut, cut, raised):
    schedule = scheduled(20, None, uncut, cut)
    strengths = []
    for epoch in range(20):
        schedule.step(epoch)
        strengths.append(schedule.regularizer.strength)
    assert strengths[6:8] == [0, 0.5]
    expected = [1.5 ** min(number, raised) for number in range(1, 13)]
    assert strengths[8:] == pytest.approx(expected)
    schedule.step(0)
    assert schedule.regularizer.strength == 0


def test_terms_are_lowered_to_their_coefficients_when_the_network_forgets_its_task():
    schedule = scheduled(20, cut=0.9)
    strengths = []
    for epoch in range(20):
        schedule.probe.uncut = 0.0 if epoch < 12 else 0.11
        schedule.step(epoch)
        strengths.append(schedule.regularizer.strength)
    assert strengths[11:] == pytest.approx([1.5**4, 1.5**3, 1.5**2, 1.5, 1, 1, 1, 1, 1])


def test_asking_for_labels_changes_nothing():
    schedule, other = scheduled(), scheduled()
    for epoch in range(20):
        schedule.step(epoch)
        other.step(epoch)
        schedule.labels()
        schedule.verdict()
        assert torch.equal(schedule.regularizer.logits, other.regularizer.logits)
        assert schedule.regularizer.strength == other.regularizer.strength


def test_the_same_weights_are_judged_once():
    layer, _ = planted()
    schedule = scheduled(layer=layer)
    schedule.labels()
    asked = len(schedule.probe.asked)
    schedule.verdict()
    assert len(schedule.probe.asked) == asked
    with torch.no_grad():
        layer.weight[0] += 1
    schedule.labels()
    assert len(schedule.probe.asked) > asked


def test_modules_at_random_have_the_sizes_of_those_that_were_found():
    schedule = scheduled(tolerance=0.3)
    schedule.step(10)
    *_, at_random = schedule.probe.asked
    assert at_random.is_random
    found = schedule.labels()
    assert module_sizes(at_random) == module_sizes(found)
    assert torch.equal(at_random < 0, found < 0)
    assert agreement(at_random, found)["ari"] < 0.5


def test_nothing_is_computed_in_the_free_phase():
    schedule = scheduled()
    logits = schedule.regularizer.logits.clone()
    schedule.step(1)
    assert schedule.regularizer.losses() == {}
    assert torch.equal(schedule.regularizer.logits, logits)
    assert schedule.probe.asked == []


def test_units_in_wrong_modules_are_moved_while_the_modules_are_not_good():
    for cut_loss, is_moved in ((0.5, True), (0.0, False)):
        layer, expected = planted()
        schedule = scheduled(100, layer, cut=cut_loss)
        schedule.step(30)
        right = schedule.labels()
        wrong = right.clone()
        first, second = (int((wrong == module).nonzero()[0]) for module in (0, 1))
        wrong[[first, second]] = wrong[[second, first]]
        schedule.regularizer.set_labels(wrong)
        schedule.step(31)
        schedule.step(32)
        found = schedule.regularizer.assignment().argmax(dim=1)
        expected = right if is_moved else wrong
        assert agreement(found, expected[NUM_INPUTS:-2])["ari"] == 1.0


def test_modules_that_are_not_good_are_repaired_every_fiftieth_of_the_epochs():
    schedule = scheduled(100, cut=0.5)
    changed = []
    for epoch in range(100):
        with torch.no_grad():
            schedule.regularizer.logits.zero_()
        schedule.step(epoch)
        if schedule.regularizer.logits.any():
            changed.append(epoch)
    assert changed == list(range(30, 100, 2))


def test_without_a_probe_no_term_is_on_and_labels_say_why():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=8)
    for epoch in range(8):
        schedule.step(epoch)
        assert (schedule.phase(epoch), regularizer.strength) == ("free", 0.0)
    with pytest.warns(UserWarning, match="has no probe"):
        labels = schedule.labels()
    assert torch.equal(labels, partition_units(layer, 2, tolerance=0.1))
    with pytest.raises(ValueError, match=r"with a probe, to judge modules \(got one without\)"):
        schedule.verdict()


def test_a_second_schedule_starts_again():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    PartitionSchedule(regularizer, epochs=8).step(0)
    assert regularizer().item() == 0


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3])
def test_sizes_are_within_the_tolerance(tolerance):
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    layer.reset_parameters(generator(3))
    schedule = scheduled(4, layer, cut=0.5, tolerance=tolerance)
    for epoch in range(4):
        sizes = module_sizes(schedule.labels())
        assert max(sizes) <= NUM_HIDDEN / 2 * (1 + tolerance)
        assert min(sizes) >= NUM_HIDDEN / 2 * (1 - tolerance)
        schedule.step(epoch)


def test_sizes_follow_the_capacities():
    layer = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN, 2))
    layer.reset_parameters(generator(3))
    regularizer = regularizer_of(layer, capacities=[5, 15])
    schedule = PartitionSchedule(regularizer, 4, probe=Losses(0, 0.5, 1), tolerance=0.0)
    for epoch in range(4):
        assert module_sizes(schedule.labels()) == [5, 15]
        schedule.step(epoch)
    assert regularizer.assignment().argmax(dim=1).bincount().tolist() == [5, 15]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_training_works_too(epochs):
    schedule = scheduled(epochs)
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
        ({"tolerance": -0.1}, ValueError, r"tolerance in \[0, 1\] \(got -0.1\)"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
        (
            {"probe": 1.0},
            TypeError,
            r"called with labels and has chance\(\) and influence\(\) \(got float\)",
        ),
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
    schedule = scheduled()
    schedule.step(0)
    schedule.regularizer().backward()
    assert schedule.regularizer.logits.grad is None


def test_a_second_training_begins_free():
    schedule = scheduled()
    opens_at(schedule)
    schedule.step(0)
    assert (schedule.phase(0), schedule.regularizer.strength) == ("free", 0.0)
    assert opens_at(schedule) == 6


@cache
def uninterrupted():
    """A schedule at its end, its states before every epoch, and what every epoch left."""
    schedule = scheduled(100, planted()[0], cut=0.5)
    states, left = [], []
    for epoch in range(100):
        states.append(copy.deepcopy((schedule.regularizer.state_dict(), schedule.state_dict())))
        schedule.step(epoch)
        left.append((schedule.regularizer.logits.detach().clone(), schedule.regularizer.strength))
    return schedule, states, left


@pytest.mark.parametrize("resumed_at", [3, 30, 53, 61, 99])
def test_a_resumed_schedule_goes_on_with_what_was_found(resumed_at):
    schedule, states, left = uninterrupted()
    resumed = scheduled(100, planted()[0], cut=0.5)
    state_of_regularizer, state = states[resumed_at]
    resumed.regularizer.load_state_dict(state_of_regularizer)
    resumed.load_state_dict(state)
    for epoch in range(resumed_at, 100):
        resumed.step(epoch)
        logits, strength = left[epoch]
        assert torch.equal(resumed.regularizer.logits, logits)
        assert resumed.regularizer.strength == strength
    assert torch.equal(resumed.labels(), schedule.labels())


def test_phases_of_epochs_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"epoch >= 0 \(got -1\)"):
        scheduled().phase(-1)


def test_penalties_are_the_losses_with_what_they_are_multiplied_by():
    regularizer = regularizer_of(planted()[0], ncut=2.0, balance=4.0)
    schedule = PartitionSchedule(regularizer, epochs=20, probe=Losses(0, 0.5, 1))
    schedule.step(0)
    assert schedule.penalties() == {}
    schedule.step(10)
    schedule.step(11)
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
    schedule = scheduled()
    (parameter,) = schedule.parameters()
    assert parameter is schedule.regularizer.logits


@pytest.mark.parametrize("epochs", [1, 20])
def test_the_number_of_modules_is_the_largest_that_is_good(epochs):
    layer, _ = planted()

    class AtMostThree(KnowsItsTask):
        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            is_good = not hasattr(labels, "is_random") and labels is not None and labels.max() < 3
            return float(labels is not None and not is_good)

    regularizer = PartitionRegularizer(layer, "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, epochs, probe=AtMostThree())
    assert "num_modules='auto'" in repr(regularizer)
    assert "of a number that is not decided yet, no term is on" in str(schedule)
    for epoch in range(epochs):
        schedule.step(epoch)
    assert module_sizes(schedule.labels()) == pytest.approx([20 / 3] * 3, abs=1)
    if epochs > 1:
        assert regularizer.num_modules == 3
        assert regularizer.assignment().shape == (NUM_HIDDEN, 3)
        same = PartitionRegularizer(planted()[0], "auto")
        same.load_state_dict(regularizer.state_dict())
        assert torch.equal(same.assignment(), regularizer.assignment())
        assert torch.equal(same(), regularizer().detach())


def test_with_the_number_the_sizes_are_left_to_the_schedule():
    graph = UnitGraph.complete(12, 20, 2)
    layer = SynchronousGraph(graph, generator=generator(0))
    truth = (torch.arange(graph.num_units) >= 9).long()  # Nine inputs of the first output.
    truth[-2:] = torch.tensor([0, 1])

    class KnowsWhose(KnowsItsTask):
        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            if labels is None:
                return 0.0
            ends = [*range(12), -2, -1]
            return 1.0 - agreement(labels[ends], truth[ends])["ari"]

        def influence(self):
            return (truth[:12].unsqueeze(1) == torch.arange(2)).double()

    regularizer = PartitionRegularizer(layer, "auto", scope="all", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=KnowsWhose())
    for epoch in range(20):
        schedule.step(epoch)
    verdict = schedule.verdict()
    assert verdict.lost == 0
    sizes = verdict.labels.bincount().tolist()
    assert sorted(sizes) == pytest.approx([3 + 10 + 1, 9 + 10 + 1], rel=0.1)
    assert list(regularizer.capacities) == sizes
    assert float(regularizer.losses()["balance"].detach()) < 1e-3
    same = PartitionRegularizer(layer, "auto", scope="all")
    same.load_state_dict(regularizer.state_dict())
    assert same.capacities == regularizer.capacities
    assert torch.equal(same(), regularizer().detach())


@pytest.mark.parametrize(
    ("sizes", "tolerance", "expected"),
    [
        ([10, 10], 0.0, None),
        ([11, 9], 0.1, None),
        ([11, 9], 0.0, (11, 9)),
        ([15, 5], 0.1, (15, 5)),
        ([7, 7, 6], 0.0, None),
        ([10, 6, 4], 0.0, (10, 6, 4)),
    ],
)
def test_labels_decide_on_sizes_that_are_not_about_equal(sizes, tolerance, expected):
    layer, labels = planted()
    regularizer = PartitionRegularizer(layer, "auto")
    labels[NUM_INPUTS:-2] = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    regularizer.set_labels(labels, tolerance=tolerance)
    assert regularizer.capacities == expected
    assert regularizer.num_modules == len(sizes)


def test_sizes_that_were_decided_stay_while_labels_are_within_the_tolerance():
    layer, labels = planted()
    regularizer = PartitionRegularizer(layer, "auto")
    found = []
    for size in (15, 16, 14, 17, 10):
        labels[NUM_INPUTS:-2] = (torch.arange(NUM_HIDDEN) >= size).long()
        regularizer.set_labels(labels, tolerance=0.2)
        found.append(regularizer.capacities)
    assert found == [(15, 5), (15, 5), (15, 5), (17, 3), None]


@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@pytest.mark.parametrize("num_modules", [0, 1, 9])
def test_labels_of_too_few_or_too_many_modules_decide_nothing(num_modules, scope):
    regularizer = PartitionRegularizer(planted()[0], "auto", scope=scope)
    most = regularizer.logits.size(1)
    labels = torch.arange(NUM_INPUTS + NUM_HIDDEN + 2) % max(1, num_modules)
    labels = labels if num_modules else labels - 1
    with pytest.raises(ValueError, match=rf"2 to {most} modules.*\(got {num_modules}\)"):
        regularizer.set_labels(labels)
    assert regularizer.is_undecided


def test_labels_of_a_module_without_a_unit_that_is_partitioned_decide_nothing():
    layer, labels = planted()
    regularizer = PartitionRegularizer(layer, "auto")
    labels[:] = 0
    labels[0] = 1  # An input.
    with pytest.raises(ValueError, match=r"got 2 modules, .*; 1 modules have none"):
        regularizer.set_labels(labels)
    assert regularizer.is_undecided
    assert regularizer.capacities is None


@pytest.mark.parametrize("change", ["bias", "head"])
def test_a_verdict_is_made_anew_where_anything_of_the_network_has_changed(change):
    layer, _ = planted()
    model = torch.nn.Sequential(layer, torch.nn.Linear(2, 2))
    x, y = normal(50, NUM_INPUTS).float(), normal(50, 2, seed=1).float()
    probe = Probe(model, (x, y), loss=torch.nn.functional.mse_loss, steps=2)
    schedule = PartitionSchedule(PartitionRegularizer(layer, 2), 4, probe=probe)
    schedule.step(0)
    first = schedule.verdict()
    assert schedule.verdict() is first
    with torch.no_grad():
        (layer.bias if change == "bias" else model[1].weight).add_(1.0)
    assert schedule.verdict().uncut == probe(None) != first.uncut


def test_averages_of_buffers_leave_what_was_decided():
    layer, labels = planted()
    regularizer = PartitionRegularizer(layer, "auto")
    regularizer.set_labels(labels)
    assert not list(regularizer.buffers(recurse=False))
    same = PartitionRegularizer(planted()[0], "auto")
    same.load_state_dict(AveragedModel(regularizer, use_buffers=True).module.state_dict())
    assert (same.num_modules, same.capacities) == (regularizer.num_modules, regularizer.capacities)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*_decided.*_sizes"):
        same.load_state_dict({"logits": regularizer.logits})


@pytest.mark.parametrize("of_decided", [False, True])
def test_the_state_of_a_regularizer_of_other_units_decides_nothing(of_decided):
    layer, labels = planted()
    regularizer = PartitionRegularizer(layer, "auto")
    if of_decided:
        regularizer.set_labels(labels)
    before = regularizer.is_undecided, regularizer.capacities
    sizes = regularizer.state_dict()["_sizes"].clone()
    larger = SynchronousGraph(UnitGraph.complete(NUM_INPUTS, NUM_HIDDEN + 5, 2))
    other = PartitionRegularizer(larger, "auto")
    of_others = torch.full((larger.graph.num_units,), -1)
    of_others[NUM_INPUTS:-2] = (torch.arange(NUM_HIDDEN + 5) < 4).long()
    other.set_labels(of_others)
    with pytest.raises(RuntimeError, match="size mismatch for logits"):
        regularizer.load_state_dict(other.state_dict())
    state = regularizer.state_dict()
    assert (regularizer.is_undecided, regularizer.capacities) == before
    assert torch.equal(state["_sizes"], sizes)
    assert bool(state["_decided"]) == of_decided


def test_without_good_modules_the_number_is_that_which_loses_least():
    class Best(KnowsItsTask):
        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            if labels is None:
                return 0.0
            return 1.0 if hasattr(labels, "is_random") else 0.5 + abs(int(labels.max()) - 4) / 10

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=Best())
    assert len(module_sizes(schedule.labels())) == 5


@pytest.mark.parametrize(("loss", "expected"), [(0.95, 2), (0.85, 8)])
def test_a_network_that_has_learned_next_to_nothing_has_two_modules(loss, expected):
    class Knows(KnowsItsTask):
        """Little; a cut costs nothing, unless it is one at random."""

        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            return 1.0 if hasattr(labels, "is_random") else loss

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=Knows())
    assert len(module_sizes(schedule.labels())) == expected


def test_modules_are_no_more_where_those_at_random_cost_nothing_either():
    class StillLearns(KnowsItsTask):
        """Gets better in the short training, whatever it is cut into."""

        def __call__(self, labels, *, trained=True):
            return 0.5 if labels is None or not trained else 0.45

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=StillLearns())
    assert len(module_sizes(schedule.labels())) == 2


def test_the_number_of_modules_grows_when_more_are_good_and_the_terms_rise_again():
    class UpTo(KnowsItsTask):
        most = 2

        def __call__(self, labels, *, trained=True):
            is_random = hasattr(labels, "is_random")
            is_bad = labels is not None and (is_random or int(labels.max()) >= self.most)
            return float(is_bad) if trained else float(labels is not None)

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=UpTo())
    strengths = []
    for epoch in range(20):
        schedule.probe.most = 2 if epoch < 12 else 4
        schedule.step(epoch)
        strengths.append((regularizer.num_modules if epoch >= 6 else 0, regularizer.strength))
    assert strengths[5:9] == [(0, 0.0), (2, 0.0), (2, 0.5), (2, 1.5)]
    assert strengths[11:15] == [(2, 1.5**4), (4, 0.0), (4, 0.5), (4, 1.5)]


@pytest.mark.parametrize("is_known", [True, False])
def test_modules_of_inputs_that_say_nothing_are_no_more_modules(is_known):
    class TwoTerms(KnowsItsTask):
        """All modules cost nothing, unless they are at random; of three, one says nothing."""

        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            return float(hasattr(labels, "is_random"))

        def separated(self, labels, *, all_speak=True):
            is_idle = all_speak and int(labels.max()) > 1
            return None if is_idle or not is_known else self(labels)

    layer = SynchronousGraph(UnitGraph.complete(8, NUM_HIDDEN, 1), generator=generator(0))
    regularizer = PartitionRegularizer(layer, "auto", scope="inputs", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=TwoTerms())
    # Where a probe never says what separated modules could do, nothing tells them apart.
    assert (len(module_sizes(schedule.labels())) == 2) == is_known


def test_of_numbers_that_lose_about_as_little_the_least_is_taken():
    class AboutAsBad(KnowsItsTask):
        def __call__(self, labels, *, trained=True):  # noqa: ARG002
            if labels is None:
                return 0.0
            return 1.0 if hasattr(labels, "is_random") else 0.65 - int(labels.max()) / 100

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=AboutAsBad())
    assert len(module_sizes(schedule.labels())) == 3  # .63; with 8 it is .58


def test_the_number_of_modules_that_are_not_good_is_decided_again():
    class Later(KnowsItsTask):
        is_early = True

        def __call__(self, labels, *, trained=True):
            if labels is None or not trained:
                return 0.0
            if hasattr(labels, "is_random"):
                return 1.0
            number = int(labels.max()) + 1
            return (0.2 if number == 5 else 0.9) if self.is_early else float(number != 2)

    regularizer = PartitionRegularizer(planted()[0], "auto", generator=generator(1))
    schedule = PartitionSchedule(regularizer, 20, probe=Later())
    found = []
    for epoch in range(20):
        schedule.probe.is_early = epoch < 12
        schedule.step(epoch)
        found.append(0 if regularizer.is_undecided else regularizer.num_modules)
    assert (found[11], found[12], found[-1]) == (5, 2, 2)


def test_a_number_of_modules_that_nobody_decided_is_refused():
    regularizer = PartitionRegularizer(planted()[0], "auto")
    with pytest.raises(
        RuntimeError, match=r"Expected a number of modules \(got num_modules='auto'"
    ):
        regularizer()
    with pytest.raises(ValueError, match=r"one for each of the capacities \(got 'auto', and 2"):
        PartitionRegularizer(planted()[0], "auto", capacities=[10, 10])
    one_output = SynchronousGraph(UnitGraph.complete(3, 4, 1))
    with pytest.raises(
        ValueError, match=r"2 inputs and outputs.*2 modules, 3 inputs and 1 outputs"
    ):
        PartitionRegularizer(one_output, "auto", scope="all")


def test_without_a_probe_the_number_of_modules_is_suggested():
    layer, expected = planted()
    schedule = PartitionSchedule(PartitionRegularizer(layer, "auto"), 4)
    with pytest.warns(UserWarning, match="has no probe"):
        labels = schedule.labels()
    assert agreement(labels, expected)["ari"] == 1.0


def test_a_schedule_and_its_regularizer_say_where_the_training_is():
    layer, _ = planted()
    regularizer = regularizer_of(layer)
    schedule = PartitionSchedule(regularizer, epochs=40, probe=KnowsItsTask())
    assert str(schedule) == "not begun, 40 epochs: " + regularizer.status()
    phases = []
    for epoch in range(40):
        schedule.step(epoch)
        before = regularizer.was_evaluated
        text = str(schedule)
        assert regularizer.was_evaluated == before
        phases.append(schedule.phase(epoch))
        head, _, found = text.partition(". ")
        assert head == (f"epoch {epoch + 1} of 40, phase {phases[-1]!r}: {regularizer.status()}")
        if schedule._verdict is not None:
            assert found == str(schedule._verdict)
        terms = [
            f"{name} {float(loss.detach()):.4g} (times {regularizer.coefficient(name):.3g})"
            for name, loss in regularizer.losses().items()
        ]
        assert regularizer.status() == ", ".join(["2 modules", *(terms or ["no term is on"])])
    assert {"free", "full"} <= set(phases)


def test_the_state_of_a_schedule_of_other_units_changes_nothing():
    schedule, other = (
        PartitionSchedule(
            PartitionRegularizer(SynchronousGraph(UnitGraph.complete(2, size, 1)), 2), 9
        )
        for size in (4, 6)
    )
    labels = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
    verdict = Verdict(labels, 0.0, 0.1, 0.1, (1.0,), 2.0, 0.5, 0.5, 0)
    schedule.load_state_dict({**schedule.state_dict(), "epoch": 3, "verdict": verdict.state_dict()})
    before = other.state_dict()
    with pytest.raises(ValueError, match=r"labels of shape \[9\], one per unit.*\(got \[7\]\)"):
        other.load_state_dict(schedule.state_dict())
    with pytest.raises(ValueError, match=r"the state of a Verdict \(got one without 'labels'\)"):
        other.load_state_dict({**before, "verdict": verdict.figures()})
    assert other.state_dict() == before


def test_an_epoch_that_is_stepped_again_is_nothing_new():
    layer, _ = planted()
    schedule = PartitionSchedule(regularizer_of(layer), 100, probe=Losses(0.05, 0.2, 0.9))
    for epoch in range(64):
        schedule.step(epoch)
    strength, asked = schedule.regularizer.strength, len(schedule.probe.asked)
    assert strength > 1
    schedule.step(63)
    assert (schedule.regularizer.strength, len(schedule.probe.asked)) == (strength, asked)


@pytest.mark.parametrize("saved_at", [29, 32, 52, 54, 60])
def test_a_schedule_that_is_saved_inside_of_an_epoch_goes_on_with_the_same_strength(saved_at):
    def schedule_of(layer):
        return PartitionSchedule(regularizer_of(layer), 100, probe=Losses(0.05, 0.2, 0.9))

    schedule = schedule_of(planted()[0])
    strengths = []
    for epoch in range(80):
        schedule.step(epoch)
        strengths.append(schedule.regularizer.strength)
        if epoch == saved_at:
            state = schedule.state_dict()
            logits = schedule.regularizer.state_dict()
    assert max(strengths) > 2
    resumed = schedule_of(planted()[0])
    resumed.regularizer.load_state_dict(logits)
    resumed.load_state_dict(state)
    found = [resumed.regularizer.strength]
    for epoch in range(saved_at, 80):  # The epoch begins again.
        resumed.step(epoch)
        found.append(resumed.regularizer.strength)
    assert found == [strengths[saved_at], *strengths[saved_at:]]


def test_what_is_said_of_modules_that_are_kept_is_that_of_the_weights_as_they_are():
    layer, _ = planted()
    schedule = PartitionSchedule(regularizer_of(layer), 100, probe=Losses(0.1, 0.1, 0.9))
    for epoch in range(51):
        schedule.step(epoch)
    before = schedule.last_verdict
    source, target = before.labels[layer.graph.edge_index]
    with torch.no_grad():
        layer.weight.mul_(torch.where(source == target, 1.0, 0.5))
    for epoch in range(51, 61):
        schedule.step(epoch)
    after = schedule.last_verdict
    assert torch.equal(after.labels, before.labels)
    assert after.normalized_cut < before.normalized_cut
    expected = normalized_cut(layer.graph.edge_index, layer.edge_weight(), after.labels)
    assert after.normalized_cut == expected


def test_a_second_training_judges_modules_by_its_own_data_and_not_by_a_probe_of_the_first():
    rand = generator(3)
    x = torch.randn(64, NUM_INPUTS, generator=rand)
    layer, _ = planted()
    schedule = PartitionSchedule(regularizer_of(layer), 4)
    own = Losses(0.05, 0.2, 0.9)
    given = PartitionSchedule(regularizer_of(planted()[0]), 4, probe=own)
    for scale in (1.0, 100.0):
        y = scale * torch.randn(64, 2, generator=rand)
        options = {"epochs": 4, "seed": 0, "loss": torch.nn.functional.mse_loss}
        fit(layer, (x, y), schedule=schedule, **options)
        found = schedule.verdict()
        # Of a loss of squares, chance is the variance.
        assert found.chance == pytest.approx(float(y.var(dim=0, correction=0).mean()), rel=1e-2)
        fit(given.regularizer.layer, (x, y), schedule=given, **options)
        assert given.probe is own


def test_before_the_first_step_no_term_is_on_and_a_state_says_so():
    schedule = scheduled()
    regularizer = schedule.regularizer
    assert regularizer.losses() == {}
    begun = scheduled()
    begun.step(0)
    before = str(schedule)
    assert before.startswith("not begun")
    begun.load_state_dict(schedule.state_dict())
    assert str(begun) == before
    begun.step(0)
    assert str(begun).startswith("epoch 1 of")


def test_what_a_regularizer_trains_is_decided_when_it_is_made():
    regularizer = regularizer_of(planted()[0], train="assignment")
    assert regularizer.trains == "assignment"
    with pytest.raises(AttributeError):
        regularizer.trains = "both"
