import json
import os
import signal
import sys
from dataclasses import replace

import optuna
import pytest
import torch

from pyg_modules.structure import TopologySearch, TopologySpace, search_topology
from pyg_modules.structure.search.random_graphs import RANDOM_GRAPHS
from tests.writers import exit_of, in_child

#: Without graphs whose outputs may be too far from all inputs to be trained.
SPACE = TopologySpace(
    num_inputs=4,
    num_outputs=2,
    max_parameters=300,
    generators=tuple(name for name in RANDOM_GRAPHS if name != "geometric"),
)


def score_of(layer, trial):
    """Another one for each topology and seed, without a training."""
    return float(layer.weight.detach().square().sum()) + trial.suggest_float("offset", 0, 1e-3)


def timeless(search):
    return [replace(trial, seconds=0.0) for trial in search.trials]


def url(path):
    return f"sqlite:///{path / 'topology.db'}"


@pytest.fixture(autouse=True)
def _is_quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(scope="module")
def search():
    return search_topology(score_of, SPACE, num_trials=12)


def test_trials_are_what_was_trained(search):
    assert [trial.number for trial in search.trials] == list(range(12))
    assert [trial.seed for trial in search.trials] == list(range(12))
    assert len({trial.topology for trial in search.trials}) == 12
    for trial in search.trials:
        layer = trial.layer()
        offset = trial.settings["offset"]
        assert set(trial.settings) == {"offset"}
        assert trial.score == float(layer.weight.detach().square().sum()) + offset
        graph = layer.graph
        assert (trial.num_hidden, trial.num_edges) == (graph.num_hidden, graph.num_edges)
        assert trial.num_parameters == sum(it.numel() for it in layer.parameters()) <= 300
    scores = [trial.score for trial in search.best_first()]
    assert scores == sorted(scores, reverse=True)
    assert search.best == search.best_first()[0]
    assert not torch.equal(search.best.layer(99).bias[:3], search.best.layer().bias[:3])


def test_the_seed_says_what_is_tried(search):
    assert timeless(search_topology(score_of, SPACE, num_trials=12)) == timeless(search)
    other = search_topology(score_of, SPACE, num_trials=3, seed=1)
    assert [trial.seed for trial in other.trials] == [1, 2, 3]
    assert other.trials[0].topology != search.trials[0].topology


def test_a_search_goes_on_to_what_it_would_have_found(search, tmp_path):
    for num_trials in (5, 12, 3):
        found = search_topology(score_of, SPACE, num_trials=num_trials, storage=url(tmp_path))
    assert timeless(found) == timeless(search)


def test_a_training_that_fails_is_tried_again(search, tmp_path):
    def fail(layer, trial):
        if trial.user_attrs["number"] == 4:
            raise RuntimeError("no memory")
        return score_of(layer, trial)

    with pytest.raises(RuntimeError, match="no memory"):
        search_topology(fail, SPACE, num_trials=12, storage=url(tmp_path))
    found = search_topology(score_of, SPACE, num_trials=12, storage=url(tmp_path))
    assert timeless(found) == timeless(search)


def killed(layer, trial):
    if trial.user_attrs["number"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return score_of(layer, trial)


def test_a_search_that_is_killed_goes_on_to_what_it_would_have_found(search, tmp_path):
    path = url(tmp_path)
    child = in_child(lambda: search_topology(killed, SPACE, num_trials=12, storage=path))
    assert exit_of(child) == -signal.SIGKILL
    states = [trial.state.name for trial in optuna.load_study(study_name=None, storage=path).trials]
    assert states == ["COMPLETE"] * 3 + ["RUNNING"]
    for _ in range(2):
        found = search_topology(score_of, SPACE, num_trials=12, storage=path)
        assert timeless(found) == timeless(search)
    states = [trial.state.name for trial in optuna.load_study(study_name=None, storage=path).trials]
    assert states == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 9


def test_workers_share_the_trials_of_a_storage(tmp_path):
    path = url(tmp_path)
    search_topology(score_of, SPACE, num_trials=1, storage=path)
    children = [
        in_child(lambda: search_topology(score_of, SPACE, num_trials=8, storage=path))
        for _ in range(2)
    ]
    assert [exit_of(child) for child in children] == [0, 0]
    found = search_topology(score_of, SPACE, num_trials=8, storage=path)
    assert [trial.number for trial in found.trials] == list(range(8))
    assert [trial.seed for trial in found.trials] == list(range(8))


def test_a_trial_of_a_worker_that_runs_is_left_to_it(tmp_path):
    path = url(tmp_path)

    def train(layer, trial):
        # As another worker would, while this one trains.
        if trial.user_attrs["number"] == 0:
            inner = search_topology(score_of, SPACE, num_trials=2, storage=path)
            assert [one.number for one in inner.trials] == [1]
        return score_of(layer, trial)

    found = search_topology(train, SPACE, num_trials=2, storage=path)
    assert [trial.number for trial in found.trials] == [0, 1]


def test_of_two_workers_that_begin_a_trial_at_once_one_runs_it(tmp_path, monkeypatch):
    path, seen = url(tmp_path), []

    def train(layer, trial):
        seen.append(trial.user_attrs["number"])
        return score_of(layer, trial)

    search_topology(train, SPACE, num_trials=1, storage=path)
    add_trial = optuna.Study.add_trial

    def add_after_another(study, trial):
        monkeypatch.setattr(optuna.Study, "add_trial", add_trial)
        search_topology(train, SPACE, num_trials=2, storage=path)
        add_trial(study, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", add_after_another)
    found = search_topology(train, SPACE, num_trials=3, storage=path)
    assert seen == [trial.number for trial in found.trials] == [0, 1, 2]


def test_graphs_that_are_drawn_too_large_count_as_pruned(tmp_path):
    space = TopologySpace(
        num_inputs=6,
        num_outputs=1,
        max_parameters=30,
        generators=["small_world"],
        density=(0.3, 0.3),
        num_updates=(2, 2),
        num_modules=[2],
        activations=["relu"],
    )
    storage, trained = f"sqlite:///{tmp_path / 'search.db'}", []

    def train(layer, _):
        trained.append(layer.graph.num_edges)
        return 0.5

    for num_trials in (8, 12):
        found = search_topology(train, space, num_trials=num_trials, storage=storage)
        assert len(found.trials) == num_trials
        fits = [trial.num_parameters <= 30 for trial in found.trials]
        assert [trial.score is not None for trial in found.trials] == fits
        assert 0 < sum(fits) < num_trials
        assert trained == [trial.num_edges for trial in found.trials if trial.score is not None]


def test_graphs_that_are_constant_in_their_updates_count_as_pruned():
    space = TopologySpace(
        num_inputs=2,
        num_outputs=1,
        max_parameters=200,
        generators=["geometric"],
        density=(0.3, 0.3),
        num_updates=(2, 2),
        activations=["tanh"],
    )
    trained, x = [], torch.linspace(-1, 1, 10).view(5, 2)

    def train(layer, trial):
        trained.append(trial.user_attrs["number"])
        assert len(layer(x).unique()) > 1
        return 0.5

    found = search_topology(train, space, num_trials=12)
    scores = [trial.score for trial in found.trials]
    assert [number for number, score in enumerate(scores) if score == 0.5] == trained
    assert 0 < len(trained) < 12
    for trial in found.trials:
        assert trial.num_parameters <= 200
        assert (trial.score is None) == (len(trial.layer()(x).unique()) == 1)


def test_pruned_trials_have_no_score_and_come_last():
    def train(layer, trial):
        if trial.user_attrs["number"] == 1:
            trial.report(9.0, 1)
            raise optuna.TrialPruned
        return float("nan") if trial.user_attrs["number"] == 2 else score_of(layer, trial)

    found = search_topology(train, SPACE, num_trials=4)
    assert [trial.score is None for trial in found.trials] == [False, True, True, False]
    assert [trial.score is None for trial in found.best_first()] == [False, False, True, True]
    assert str(found).count("pruned") == 2
    none = TopologySearch(SPACE, found.trials[1:3])
    with pytest.raises(ValueError, match=r"trained to its end \(got none of 2.*Search on"):
        _ = none.best


def test_the_pruner_is_asked():
    pruner = optuna.pruners.ThresholdPruner(lower=0.5)

    def train(_, trial):
        trial.report(trial.user_attrs["number"] / 2, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 1.0

    found = search_topology(train, SPACE, num_trials=3, pruner=pruner)
    assert [trial.score for trial in found.trials] == [None, 1.0, 1.0]


def test_the_front_has_what_no_cheaper_trial_beats(search):
    costs = [(3.0, 0.5), (1.0, 0.2), (2.0, 0.2), (4.0, 0.4), (5.0, 0.9), (1.0, 0.1), (0.5, None)]
    trials = tuple(
        replace(trial, seconds=seconds, score=score)
        for trial, (seconds, score) in zip(search.trials, costs, strict=False)
    )
    found = TopologySearch(SPACE, trials)
    assert [trial.number for trial in found.front()] == [1, 0, 4]
    # All have the same budget.
    assert [trial.number for trial in found.front("parameters")] == [4]
    cheap = replace(trials[0].topology, max_parameters=200)
    found = TopologySearch(SPACE, (replace(trials[0], topology=cheap), *trials[1:]))
    assert [trial.number for trial in found.front("parameters")] == [0, 4]
    with pytest.raises(ValueError, match=r"cost to be one of 'parameters', 'seconds' \(got 'ho"):
        found.front("hours")


def test_a_search_is_the_same_in_json(search):
    text = json.dumps(search.to_dict())
    assert TopologySearch.from_dict(json.loads(text)) == search


def test_the_table_has_a_row_per_trial(search):
    lines = str(search).splitlines()
    assert lines[0].split() == [
        *("trial", "score", "generator", "density", "updates", "activation", "modules"),
        *("hidden", "edges", "parameters", "seconds"),
    ]
    best = search.best
    assert lines[1].split()[:3] == [str(best.number), f"{best.score:.4f}", best.topology.generator]
    assert len(lines) == 13
    assert len(set(map(len, lines))) == 1


@pytest.mark.parametrize(
    ("space", "seed", "message"),
    [
        (replace(SPACE, density=(0.1, 0.5)), 0, r"one with density=\[0.05, 0.5\] there"),
        (SPACE, 1, r"one with seed=0 there\). Use its space and seed to go on, or another study"),
    ],
)
def test_the_storage_of_another_search_is_refused(tmp_path, space, seed, message):
    search_topology(score_of, SPACE, num_trials=1, storage=url(tmp_path))
    with pytest.raises(ValueError, match=message):
        search_topology(score_of, space, num_trials=2, storage=url(tmp_path), seed=seed)
    # Under another name, there is room for it.
    other = {"storage": url(tmp_path), "study_name": "other", "seed": seed}
    assert len(search_topology(score_of, space, num_trials=2, **other).trials) == 2


def test_a_study_of_something_else_is_refused(tmp_path):
    study = optuna.create_study(storage=url(tmp_path), study_name="topology", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match=r"as 'topology' \(got no search of topologies there"):
        search_topology(score_of, SPACE, storage=url(tmp_path))


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_an_empty_study_of_other_directions_is_refused(tmp_path, directions):
    optuna.create_study(storage=url(tmp_path), study_name="topology", directions=directions)
    with pytest.raises(ValueError, match=r"high scores .* as 'topology' \(got .*MINIMIZE"):
        search_topology(score_of, SPACE, storage=url(tmp_path))


@pytest.mark.parametrize(
    ("train", "space", "settings", "error", "message"),
    [
        (0.5, SPACE, {}, TypeError, r"called with a layer and a trial \(got 0.5.*TopologyTraining"),
        (score_of, {}, {}, TypeError, r"Expected a TopologySpace \(got dict"),
        (score_of, SPACE, {"num_trials": 0}, ValueError, r"num_trials >= 1"),
        (score_of, SPACE, {"seed": -1}, ValueError, r"seed >= 0"),
        (score_of, SPACE, {"storage": "a.db"}, ValueError, r"URL .* use 'sqlite:///a.db'\."),
        (lambda *_: None, SPACE, {}, TypeError, r"return a score, a number \(got NoneType"),
    ],
)
def test_bad_input_is_refused(train, space, settings, error, message):
    with pytest.raises(error, match=message):
        search_topology(train, space, **settings)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"needs Optuna: pip install 'pyg-modules\[search\]'"):
        search_topology(score_of, SPACE)
