import optuna
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from pyg_modules.structure import TopologySpace, search_topology
from pyg_modules.train import TopologyTraining, accuracy, fit

SPACE = TopologySpace(num_inputs=4, num_outputs=2, max_parameters=200)
X = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()


class Recorded:
    """A trial that keeps what it is told."""

    def __init__(self, pruned_at=None):
        self.user_attrs, self.reports, self.pruned_at = {"seed": 7}, {}, pruned_at

    def report(self, score, epoch):
        self.reports[epoch] = score

    def should_prune(self):
        return len(self.reports) == self.pruned_at

    def suggest_float(self, name, low, high, *, log):
        assert log
        return high if name == "learning_rate" else low


def layer():
    return SPACE.topology(
        {
            "generator": "complete",
            "num_updates": 2,
            "activation": "tanh",
            "num_modules": 1,
            "max_parameters": 200,
        }
    ).layer(0)


def test_it_trains_as_fit_does_on_what_is_not_held_out():
    train = TopologyTraining(X, Y, 3, suggest={"learning_rate": (1e-3, 1e-2)}, batch_size=10)
    trained, expected, trial = layer(), layer(), Recorded()
    score = train(trained, trial)
    (x, y), (held_out_x, held_out_y) = train.training_data, train.validation_data
    assert (len(x), len(held_out_x)) == (40, 10)
    fit(expected, (x, y), epochs=3, seed=7, learning_rate=1e-2, batch_size=10)
    assert torch.equal(trained.weight, expected.weight)
    assert list(trial.reports) == [1, 2, 3]
    assert score == trial.reports[3] == accuracy(expected, held_out_x, held_out_y)
    # Every sample is on one side, with its target.
    rows = torch.cat([torch.cat([x, held_out_x]), torch.cat([y, held_out_y])[:, None]], dim=1)
    both = torch.cat([X, Y[:, None]], dim=1)
    assert torch.equal(rows[rows[:, 0].argsort()], both[both[:, 0].argsort()])


def test_the_score_of_other_targets_is_the_loss():
    y = X[:, :2]
    train = TopologyTraining(X, y, 1, loss=mse_loss)
    trained = layer()
    score = train(trained, Recorded())
    x, targets = train.validation_data
    assert score == pytest.approx(-float(mse_loss(trained(x), targets).detach()))


def test_the_score_is_that_of_the_weights_that_are_left():
    y, trained, trial = X[:, :2], layer(), Recorded()
    as_it_began = X, trained(X).detach()  # The first epoch is the best.
    train = TopologyTraining(
        X, y, 4, loss=mse_loss, validation_data=as_it_began, restore_best_weights=True
    )
    score = train(trained, trial)
    x, targets = train.validation_data
    assert score == pytest.approx(-float(mse_loss(trained(x), targets).detach()))
    assert score == trial.reports[1] != trial.reports[4]


def test_other_seeds_hold_out_others():
    sets = [TopologyTraining(X, Y, 1, seed=seed).validation_data[0] for seed in (0, 0, 1)]
    assert torch.equal(sets[0], sets[1])
    assert not torch.equal(sets[0], sets[2])


@pytest.mark.parametrize(("pruned_at", "reported"), [(1, [1]), (2, [1, 2])])
def test_it_ends_when_the_pruner_says_so(pruned_at, reported):
    trial = Recorded(pruned_at)
    with pytest.raises(optuna.TrialPruned):
        TopologyTraining(X, Y, 3)(layer(), trial)
    assert list(trial.reports) == reported


def test_a_training_that_ended_is_not_pruned():
    assert TopologyTraining(X, Y, 3)(layer(), Recorded(3)) >= 0


def test_a_training_that_diverges_is_pruned():
    train = TopologyTraining(X, Y, 2, loss=lambda *of: cross_entropy(*of) * float("nan"))
    with pytest.raises(optuna.TrialPruned, match="Expected finite losses"):
        train(layer(), Recorded())


def test_a_search_finds_what_it_trained():
    train = TopologyTraining(X, Y, 2, suggest={"weight_decay": (0.01, 1.0)})
    found = search_topology(train, SPACE, num_trials=2)
    best = found.best
    again = best.layer()
    trial = optuna.trial.FixedTrial(best.settings)
    trial.set_user_attr("seed", best.seed)
    assert train(again, trial) == best.score
    assert 0.01 <= best.settings["weight_decay"] <= 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, r"epochs >= 1"),
        ({"held_out": 0.0}, ValueError, r"held_out samples and others \(got 0 of 50"),
        ({"held_out": 1}, ValueError, r"held_out samples and others \(got 50 of 50"),
        ({"held_out": 2}, ValueError, r"held_out in \[0, 1\]"),
        ({"rate": 1}, TypeError, r"options of fit .* \(got 'rate'\)\. They are loss, forward, "),
        ({"on_epoch": print}, TypeError, r"options of fit that a search .* \(got 'on_epoch'\)"),
        ({"suggest": {"density": (0.1, 1)}}, TypeError, r"options of fit .* \(got 'density'\)"),
        ({"suggest": {"batch_size": (8, 16)}}, ValueError, r"learning_rate or weight_decay in"),
        ({"schedule": []}, TypeError, r"options of fit .* \(got 'schedule'\)"),
        ({"suggest": {"learning_rate": 0.1}}, TypeError, r"pair of bounds .* learning_rate=\.\.\."),
        ({"suggest": {"learning_rate": (1, 0.1)}}, ValueError, r"the lower one first.*\(1, 0\.1\)"),
        ({"suggest": {"weight_decay": (0, 0.1)}}, ValueError, r"bounds of weight_decay above 0"),
        (
            {"suggest": {"learning_rate": (0.1, 1)}, "learning_rate": 1},
            ValueError,
            r"learning_rate in suggest or as an option \(got both\)",
        ),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        TopologyTraining(X, Y, **{"epochs": 1, **settings})


def test_what_is_no_pair_of_tensors_is_refused():
    with pytest.raises(TypeError, match=r"x to be a Tensor \(got ndarray\).*torch.as_tensor"):
        TopologyTraining(X.numpy(), Y, 1)
    with pytest.raises(TypeError, match=r"y to be a Tensor \(got list"):
        TopologyTraining(X, Y.tolist(), 1)
    with pytest.raises(ValueError, match=r"target per sample \(got 50 samples and 49 targets"):
        TopologyTraining(X, Y[1:], 1)
