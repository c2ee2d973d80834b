import numpy
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyg_modules.partition import module_sizes
from pyg_modules.train import ModularClassifier

SMALL = {
    "num_hidden": 8,
    "steps": 2,
    "epochs": 8,
    "finetune_epochs": 4,
    "learning_rate": 0.1,
    "batch_size": 64,
    "random_state": 0,
}


def half_planes(num_classes=2):
    """Classes by the sum of two features, with a gap around the borders."""
    x = numpy.random.default_rng(0).uniform(-1, 1, size=(400, 2))
    position = (x.sum(axis=1) + 2) / 4 * num_classes
    apart = abs(position - position.round()) > 0.1
    return x[apart], numpy.minimum(position[apart].astype(int), num_classes - 1)


def test_digits_are_told_apart_by_balanced_modules():
    x, y = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        (x / 16).astype(numpy.float32), y, stratify=y, random_state=0
    )
    classifier = ModularClassifier(
        4,
        num_hidden=32,
        steps=3,
        epochs=10,
        finetune_epochs=5,
        learning_rate=1e-2,
        random_state=0,
    ).fit(train_x, train_y)
    assert classifier.score(test_x, test_y) > 0.94
    assert module_sizes(torch.from_numpy(classifier.labels_)) == [8, 8, 8, 8]


@pytest.mark.parametrize("names", [["no", "yes"], ["high", "low", "middle"]])
def test_classes_may_be_strings(names):
    x, y = half_planes(len(names))
    classifier = ModularClassifier(2, **SMALL).fit(x, numpy.array(names)[y])
    assert classifier.classes_.tolist() == names
    assert classifier.network_.graph.num_outputs == len(names)
    assert numpy.mean(classifier.predict(x) == numpy.array(names)[y]) > 0.97


def test_probabilities_are_those_of_the_logits():
    x, y = half_planes(3)
    classifier = ModularClassifier(2, **SMALL).fit(x, y)
    with torch.no_grad():
        logits = classifier.network_(torch.from_numpy(x))
    probabilities = classifier.predict_proba(x)
    assert numpy.array_equal(probabilities, logits.softmax(dim=1).numpy())
    assert numpy.array_equal(classifier.predict(x), probabilities.argmax(axis=1))


def test_the_logarithm_of_a_vanishing_probability_is_finite():
    x, y = half_planes()
    classifier = ModularClassifier(2, **SMALL).fit(x, y)
    far = numpy.array([[1e6, 1e6]])
    assert classifier.predict_proba(far).tolist() == [[0.0, 1.0]]
    assert -numpy.inf < classifier.predict_log_proba(far)[0, 0] < -1000


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match=r"at least two classes in y \(got one class: 3\)"):
        ModularClassifier(2, **SMALL).fit([[0.0], [1.0]], [3, 3])


def test_it_is_searched_over_inside_a_pipeline():
    x, y = half_planes()
    model = make_pipeline(StandardScaler(), ModularClassifier(**SMALL))
    grid = {"modularclassifier__num_modules": [2, 4], "modularclassifier__finetune_epochs": [0, 4]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(x, y)
    best = search.best_estimator_[-1]
    assert len(best.modules_) == search.best_params_["modularclassifier__num_modules"]
    assert search.cv_results_["params"] == [
        {"modularclassifier__finetune_epochs": epochs, "modularclassifier__num_modules": modules}
        for epochs in (0, 4)
        for modules in (2, 4)
    ]
    assert search.score(x, y) > 0.97
    # Every fold is trained from the same seed, so that scores can be had again.
    again = cross_val_score(model.set_params(**search.best_params_), x, y, cv=2)
    assert again.mean() == search.best_score_
