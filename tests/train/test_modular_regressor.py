import numpy
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from pyg_modules.partition import agreement
from pyg_modules.train import ModularRegressor

SMALL = {
    "num_hidden": 12,
    "steps": 2,
    "epochs": 16,
    "finetune_epochs": 8,
    "learning_rate": 0.05,
    "batch_size": 32,
    "random_state": 0,
}


def ridges(num_samples=256):
    """Two targets of different units, each of features of its own; integers."""
    x = numpy.random.default_rng(0).uniform(-1, 1, size=(num_samples, 4))
    targets = numpy.stack([50 * abs(x[:, 0] + x[:, 1]), 2000 * x[:, 2] * x[:, 3]], axis=1)
    return x, targets.round()


@pytest.fixture(scope="module")
def regressor():
    return ModularRegressor(2, **SMALL).fit(*ridges())


def test_several_targets_are_learned_together(regressor):
    x, y = ridges()
    assert regressor.predict(x).shape == y.shape
    assert min(r2_score(y, regressor.predict(x), multioutput="raw_values")) > 0.9


def test_the_network_predicts_in_the_unit_of_the_targets(regressor):
    x, _ = ridges()
    inputs = torch.from_numpy(x)
    with torch.no_grad():
        assert numpy.array_equal(regressor.network_(inputs).numpy(), regressor.predict(x))
        added = sum(part(inputs) for part in regressor.modules_).numpy()
    numpy.testing.assert_allclose(added, regressor.predict(x), rtol=0, atol=1e-9)


def test_another_unit_of_the_targets_gives_the_same_modules_and_predictions(regressor):
    # Powers of two change no digit, and sums of integers are exact.
    x, y = ridges()
    plain = regressor
    scaled = ModularRegressor(2, **SMALL).fit(x, 1024 * y)
    shifted = ModularRegressor(2, **SMALL).fit(x, y + 4096)
    assert numpy.array_equal(scaled.predict(x), 1024 * plain.predict(x))
    numpy.testing.assert_allclose(shifted.predict(x), plain.predict(x) + 4096, rtol=1e-12)
    assert numpy.array_equal(scaled.labels_, plain.labels_)
    assert numpy.array_equal(shifted.labels_, plain.labels_)


@pytest.mark.parametrize("shape", [(256,), (256, 1)])
def test_predictions_have_the_shape_of_the_targets(shape):
    x, y = ridges()
    y = y[:, 0].reshape(shape)
    regressor = ModularRegressor(2, **SMALL).fit(x, y)
    assert regressor.predict(x[:10]).shape == (10, *shape[1:])
    assert regressor.score(x, y) > 0.9


def test_a_constant_target_is_predicted():
    x, y = ridges()
    y[:, 1] = 7.0
    regressor = ModularRegressor(2, **SMALL).fit(x, y)
    numpy.testing.assert_allclose(regressor.predict(x)[:, 1], 7.0, rtol=0, atol=0.05)


def test_a_constant_whose_mean_is_rounded_is_no_target_that_varies():
    x, y = ridges()
    y[:, 1] = 0.1
    assert y[:7, 1].std() > 0
    regressor = ModularRegressor(2, **SMALL | {"epochs": 2}).fit(x[:7], y[:7])
    numpy.testing.assert_allclose(regressor.predict(x)[:, 1], 0.1, rtol=0, atol=2)


def test_targets_too_far_from_0_for_the_precision_are_said():
    x, y = ridges()
    few = SMALL | {"epochs": 1, "finetune_epochs": 1}
    for dtype, far in (("float32", 1e9), ("float64", 1e18)):
        with pytest.warns(UserWarning, match=f"Predictions are {dtype}, as is X, .* too coarse"):
            ModularRegressor(2, **few).fit(x.astype(dtype), y + far)
        ModularRegressor(2, **few).fit(x.astype(dtype), y + far / 1e4)
    constant = numpy.where([True, False], y, 1e9)  # A number as good as any other.
    ModularRegressor(2, **few).fit(x.astype("float32"), constant)
    with pytest.raises(ValueError, match=r"float32 can hold, as is X \(got some around .*e\+39"):
        ModularRegressor(2, **few).fit(x.astype("float32"), y * 1e36)


def test_it_is_searched_over_inside_a_pipeline():
    x, y = ridges(64)
    model = make_pipeline(StandardScaler(), ModularRegressor(**SMALL))
    grid = {"modularregressor__num_modules": [2, 3]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(x, y)
    best = search.best_params_["modularregressor__num_modules"]
    assert len(search.best_estimator_[-1].modules_) == best
    again = cross_val_score(model.set_params(**search.best_params_), x, y, cv=2)
    assert again.mean() == search.best_score_


def test_each_term_of_a_sum_gets_a_module_with_its_features():
    random = numpy.random.RandomState(0)
    x = random.uniform(-1.7, 1.7, (600, 6)).astype("float32")
    y = 5 * sum(numpy.sin(1.2 * x[:, term::2].sum(axis=1)) for term in (0, 1)) + 3
    regressor = ModularRegressor(
        2,
        num_hidden=32,
        steps=3,
        scope="inputs",
        epochs=60,
        finetune_epochs=60,
        weight_decay=0.3,
        batch_size=25,
        tolerance=0.1,
        random_state=0,
    ).fit(x, y)
    assert agreement(torch.from_numpy(regressor.labels_[:6]), torch.arange(6) % 2)["ari"] == 1
    assert regressor.labels_[-1] == -1
    assert regressor.verdict_.separated is not None
    assert regressor.score(x, y) > 0.99
    parts = [part(torch.from_numpy(x)).detach() for part in regressor.modules_]
    numpy.testing.assert_allclose(sum(parts).flatten(), regressor.predict(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("unit", [1e-200, 2.0**-1000, 1e155, 1e290])
def test_targets_of_any_unit_are_learned_alike(unit):
    x, targets = ridges(64)
    settings = {**SMALL, "epochs": 2, "finetune_epochs": 1}
    expected = ModularRegressor(2, **settings).fit(x, targets[:, 0]).predict(x)
    found = ModularRegressor(2, **settings).fit(x, targets[:, 0] * unit).predict(x)
    numpy.testing.assert_allclose(found / unit, expected, rtol=1e-6)


def test_targets_that_a_precision_does_not_tell_apart_are_refused():
    x, targets = ridges(64)
    with pytest.raises(ValueError, match=r"float32 can tell apart.*got some that differ by 2e-40"):
        ModularRegressor(2, **SMALL).fit(x.astype("float32"), targets[:, 0] * 1e-41)


def test_samples_that_the_network_makes_no_numbers_of_are_refused():
    x, targets = ridges(64)
    x = x.astype("float32")
    settings = {**SMALL, "epochs": 2, "finetune_epochs": 1}
    regressor = ModularRegressor(2, **settings).fit(x, targets[:, 0])
    far = x[:3].copy()
    far[1] = 3.3e38
    with torch.no_grad():
        regressor.network_.weight.mul_(100)
    with pytest.raises(ValueError, match="NaN or infinity for number 1, in float32"):
        regressor.predict(far)


def test_after_a_fit_that_was_refused_it_is_not_fitted():
    x, targets = ridges(64)
    settings = {**SMALL, "epochs": 2, "finetune_epochs": 1}
    regressor = ModularRegressor(2, **settings).fit(x, targets[:, 0])
    check_is_fitted(regressor)
    with pytest.raises(ValueError, match="ncut"):
        regressor.set_params(ncut=-1).fit(x, targets[:, 0])
    with pytest.raises(NotFittedError):
        check_is_fitted(regressor)


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-308, -1e-310, 0.1, 1.1e200, 1e300])
def test_targets_that_are_all_alike_are_what_is_predicted(value):
    x, targets = ridges(64)
    settings = {**SMALL, "epochs": 2, "finetune_epochs": 1}
    regressor = ModularRegressor(2, **settings).fit(x, numpy.full(64, value))
    numpy.testing.assert_allclose(regressor.predict(x), value, rtol=1e-6, atol=1)
    beside = numpy.stack([numpy.full(64, value), targets[:, 0]], axis=1)
    regressor = ModularRegressor(2, **settings).fit(x, beside)
    assert numpy.isfinite(regressor.predict(x)).all()


def test_what_single_precision_cannot_hold_is_refused_without_a_warning():
    x, _ = ridges(64)
    with pytest.raises(ValueError, match="targets that float32 can hold"):
        ModularRegressor(2, **SMALL).fit(x.astype("float32"), numpy.full(64, 1.1e155))
