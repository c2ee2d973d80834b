import pickle

import numpy
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyg_modules import SynchronousGraph
from pyg_modules.experiment import ExperimentConfig
from pyg_modules.modules import check_independence
from pyg_modules.train import DivergedError, ModularClassifier, ModularRegressor

SMALL = {
    "num_hidden": 9,
    "steps": 2,
    "epochs": 4,
    "finetune_epochs": 2,
    "learning_rate": 0.03,
    "batch_size": 64,
    "random_state": 0,
}
BOTH = pytest.mark.parametrize("estimator_class", [ModularClassifier, ModularRegressor])


def data(dtype=numpy.float64):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(50, 3)).astype(dtype)
    return x, (x[:, 0] > x[:, 1]).astype(int)


def fitted(estimator_class, **parameters):
    return estimator_class(2, **SMALL | parameters).fit(*data())


def same_function(one, other):
    x, _ = data()
    return numpy.array_equal(
        probabilities_or_predictions(one, x), probabilities_or_predictions(other, x)
    )


def probabilities_or_predictions(estimator, x):
    return getattr(estimator, "predict_proba", estimator.predict)(x)


@parametrize_with_checks([ModularClassifier(2, **SMALL), ModularRegressor(2, **SMALL)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@BOTH
def test_the_defaults_are_those_of_the_experiment(estimator_class):
    parameters, config = estimator_class().get_params(), ExperimentConfig()
    assert parameters.pop("random_state") is None
    assert parameters.pop("scope") == "hidden"
    assert parameters == {name: getattr(config, name) for name in parameters}


@BOTH
def test_a_seed_fixes_every_bit(estimator_class):
    first = fitted(estimator_class)
    torch.manual_seed(99)
    assert same_function(fitted(estimator_class), first)
    assert not same_function(fitted(estimator_class, random_state=1), first)


@BOTH
def test_a_generator_goes_on_from_fit_to_fit(estimator_class):
    generator = numpy.random.RandomState(5)
    first = fitted(estimator_class, random_state=generator)
    assert not same_function(fitted(estimator_class, random_state=generator), first)
    again = fitted(estimator_class, random_state=numpy.random.RandomState(5))
    assert same_function(again, first)


@BOTH
def test_without_a_seed_numpys_global_generator_decides(estimator_class):
    state = numpy.random.get_state()
    try:
        numpy.random.seed(5)
        first, second = (fitted(estimator_class, random_state=None) for _ in range(2))
    finally:
        numpy.random.set_state(state)
    assert same_function(fitted(estimator_class, random_state=numpy.random.RandomState(5)), first)
    assert not same_function(second, first)


@BOTH
@pytest.mark.parametrize("random_state", [0, None])
def test_torchs_generator_is_left_alone(estimator_class, random_state):
    x, y = data()
    before = torch.get_rng_state()
    estimator = estimator_class(2, **SMALL | {"random_state": random_state})
    estimator.fit(x, y).predict(x)
    later = estimator.set_params(finetune_epochs=None).fit(x, y).cut()
    assert len(later.modules_) == 2
    assert torch.equal(torch.get_rng_state(), before)


@BOTH
def test_in_threads_every_fit_is_what_it_is_alone(estimator_class):
    seeds = range(4)
    alone = [fitted(estimator_class, random_state=seed) for seed in seeds]
    states = torch.get_rng_state(), numpy.random.get_state()[1].tolist()
    num_threads = torch.get_num_threads()

    def fit_cut_and_split(seed):
        later = fitted(estimator_class, random_state=seed, finetune_epochs=None).cut()
        assert len(later.modules_) == 2
        return fitted(estimator_class, random_state=seed)

    jobs = [delayed(fit_cut_and_split)(seed) for seed in seeds]
    together = Parallel(4, backend="threading")(jobs)
    assert all(map(same_function, together, alone))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy.random.get_state()[1].tolist() == states[1]
    assert torch.get_num_threads() == num_threads


@BOTH
def test_the_global_generators_stand_still_all_through_a_fit(estimator_class, monkeypatch):
    def states():
        return torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist()

    seen = []
    forward = SynchronousGraph.forward

    def observed(layer, x):
        seen.append(states())
        return forward(layer, x)

    monkeypatch.setattr(SynchronousGraph, "forward", observed)
    before = states()
    fitted(estimator_class)
    assert len(seen) > 12
    assert all(state == before for state in seen)


@BOTH
def test_the_modules_are_independent_and_add_up(estimator_class):
    estimator = fitted(estimator_class, num_hidden=12).set_params(num_modules=3).fit(*data())
    x = torch.from_numpy(data()[0])
    with torch.no_grad():
        outputs = estimator.network_(x)
        assert len(estimator.modules_) == 3
        torch.testing.assert_close(sum(part(x) for part in estimator.modules_), outputs)
    evidence = check_independence(estimator.network_, x[:3], steps=2, tolerance=1e-12)
    assert evidence.paths == evidence.max_cross_jacobian == 0
    assert not estimator.network_.training


@BOTH
def test_labels_give_every_hidden_unit_a_module_of_balanced_size(estimator_class):
    estimator = fitted(estimator_class)
    graph, labels = estimator.network_.graph, estimator.labels_
    assert labels.dtype == numpy.int64
    assert labels.shape == (graph.num_units,)
    assert set(labels[list(graph.inputs)]) == set(labels[list(graph.outputs)]) == {-1}
    assert sorted(numpy.bincount(labels[list(graph.hidden)])) == [4, 5]
    assert numpy.array_equal(estimator.network_.labels.numpy(), labels)
    assert [part.graph.num_hidden for part in estimator.modules_] == numpy.bincount(
        labels[list(graph.hidden)]
    ).tolist()


@BOTH
def test_a_cut_later_is_a_cut_without_finetuning(estimator_class):
    later = fitted(estimator_class, finetune_epochs=None)
    at_once = fitted(estimator_class, finetune_epochs=0)
    uncut = later.network_
    assert uncut.labels is None
    assert uncut.graph.num_edges == 9 * (3 + 9 + uncut.graph.num_outputs)
    assert not hasattr(later, "modules_")
    assert not same_function(later, at_once)

    assert later.cut() is later
    assert later.network_.graph.num_edges == uncut.graph.num_edges - 2 * 4 * 5
    assert same_function(later, at_once)
    assert numpy.array_equal(later.labels_, at_once.labels_)
    assert len(later.modules_) == 2


@BOTH
def test_a_second_cut_changes_nothing(estimator_class):
    estimator = fitted(estimator_class)
    network = estimator.network_
    assert estimator.cut() is estimator
    assert estimator.network_ is network


@BOTH
def test_finetuning_trains_the_cut_network_on(estimator_class):
    cut_only, trained_on = (fitted(estimator_class, finetune_epochs=n) for n in (0, 2))
    assert numpy.array_equal(cut_only.labels_, trained_on.labels_)
    assert cut_only.network_.graph == trained_on.network_.graph
    assert not same_function(cut_only, trained_on)


@BOTH
def test_what_needs_a_fit_says_so(estimator_class):
    estimator = estimator_class()
    with pytest.raises(NotFittedError):
        estimator.cut()
    with pytest.raises(AttributeError, match=r"cut network.*Call fit, and cut where"):
        estimator.modules_  # noqa: B018


@BOTH
def test_an_uncut_network_comes_back_from_a_pickle_and_is_cut(estimator_class):
    estimator = fitted(estimator_class, finetune_epochs=None)
    restored = pickle.loads(pickle.dumps(estimator))
    assert same_function(restored, estimator)
    assert same_function(restored.cut(), estimator.cut())
    assert not same_function(restored, fitted(estimator_class, finetune_epochs=None))
    assert same_function(pickle.loads(pickle.dumps(restored)), restored)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_has_the_precision_of_the_data(estimator_class, dtype):
    x, y = data(dtype)
    estimator = estimator_class(2, **SMALL).fit(x, y)
    assert estimator.network_.weight.dtype == getattr(torch, dtype)
    expected = probabilities_or_predictions(estimator, x)
    assert expected.dtype == dtype
    # Inputs of another precision are converted.
    assert numpy.array_equal(probabilities_or_predictions(estimator, x.tolist()), expected)


@BOTH
def test_two_samples_of_one_feature_are_enough(estimator_class):
    estimator = estimator_class(2, **SMALL).fit([[-1.0], [1.0]], [0, 1])
    assert estimator.n_features_in_ == 1
    assert len(estimator.modules_) == 2
    low, high = probabilities_or_predictions(estimator, [[-1.0], [1.0]]).reshape(2, -1)[:, -1]
    assert low < high


@BOTH
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"num_modules": 1}, ValueError, r"num_modules >= 2 \(got 1\)"),
        ({"num_modules": 10}, ValueError, r"num_modules <= num_hidden.*got 10 > 9.*raise num_hid"),
        ({"num_hidden": 8.0}, TypeError, r"num_hidden to be an int \(got float: 8.0\)"),
        ({"steps": 0}, ValueError, r"steps >= 1 \(got 0\)"),
        ({"activation": "cube"}, ValueError, r"got 'cube'"),
        ({"epochs": 0}, ValueError, r"epochs >= 1 \(got 0\)"),
        ({"finetune_epochs": -1}, ValueError, r"finetune_epochs >= 0 \(got -1\)"),
        ({"ncut": -1.0}, ValueError, r"finite ncut >= 0 \(got -1.0\)"),
        ({"balance": float("nan")}, ValueError, r"finite balance >= 0 \(got nan\)"),
        ({"tolerance": -0.1}, ValueError, r"tolerance in \[0, 1\] \(got -0.1\)"),
        ({"learning_rate": 0}, ValueError, r"learning_rate > 0 \(got 0\)"),
        ({"weight_decay": "much"}, TypeError, r"weight_decay to be a number \(got str: 'much'\)"),
        ({"batch_size": 0}, ValueError, r"batch_size >= 1 \(got 0\)"),
        ({"device": "quantum"}, ValueError, r"available device.*got 'quantum'"),
        ({"random_state": "seed"}, ValueError, r"'seed' cannot be used to seed"),
    ],
)
def test_bad_parameters_are_refused_by_fit(estimator_class, parameters, error, message):
    estimator = estimator_class(**{"num_modules": 2} | SMALL | parameters)
    with pytest.raises(error, match=message):
        estimator.fit(*data())
    with pytest.raises(NotFittedError):
        estimator.predict(data()[0])


@BOTH
def test_a_fit_that_fails_leaves_no_network_of_other_data(estimator_class):
    estimator = fitted(estimator_class)
    x, y = data()
    # Refused before anything is trained: the fit before stays.
    before = probabilities_or_predictions(estimator, x)
    estimator.set_params(num_modules=99)
    with pytest.raises(ValueError, match="num_modules <= num_hidden"):
        estimator.fit(x, y)
    assert numpy.array_equal(probabilities_or_predictions(estimator, x), before)
    estimator.set_params(num_modules=2, learning_rate=1e30)
    with pytest.raises(DivergedError):
        estimator.fit(x, y + 1)
    with pytest.raises(NotFittedError):
        estimator.predict(x)


@pytest.mark.parametrize("flip", [numpy.fliplr, numpy.flipud, lambda x: x[:, ::2]])
def test_views_of_arrays_in_any_order_are_taken_as_they_are(flip):
    generator = numpy.random.default_rng(0)
    x, y = flip(generator.standard_normal((40, 4))), generator.integers(2, size=40)[::-1]
    settings = {"num_hidden": 6, "epochs": 2, "finetune_epochs": 1, "random_state": 0}
    viewed = ModularClassifier(2, **settings).fit(x, y)
    copied = ModularClassifier(2, **settings).fit(x.copy(), y.copy())
    numpy.testing.assert_array_equal(viewed.predict_proba(x), copied.predict_proba(x.copy()))
