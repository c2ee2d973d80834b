from dataclasses import replace

import pytest
import torch

from pyg_modules.modules import Independence
from pyg_modules.report.html import words


def labels_of(run, hidden, inputs=(), outputs=()):
    """Labels of the units of a run, in modules of so many; other inputs and outputs are shared."""
    graph = run.finetuned.graph
    labels = torch.full((graph.num_units,), -1)
    for ids, sizes in ((graph.inputs, inputs), (graph.hidden, hidden), (graph.outputs, outputs)):
        own = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes).long())
        labels[ids.start : ids.start + len(own)] = own
    return labels


@pytest.fixture
def known(run):
    """The small run with round numbers."""
    accuracy = {
        "mlp": 0.98,
        "free": 0.97,
        "regularized": 0.96,
        "cut": 0.91,
        "finetuned": 0.955,
        "random_modules": 0.9,
    }
    parameters = dict.fromkeys(accuracy, 20_000) | {"finetuned": 12_500}
    return replace(
        run,
        test_score=accuracy,
        num_parameters=parameters,
        labels=labels_of(run, [4, 4, 5]),
        independence=Independence(0, 0.0, 2.3e-7),
        seconds=102.0,
    )


def test_the_summary_has_the_numbers_of_the_run(known):
    text = "\n".join(words.summary(known)).replace("\u202f", " ")
    assert "13 hidden units" in text
    assert "the data set digits" in text
    assert "3 modules of 4 to 5 hidden units" in text
    assert "96.00 % before the cut, 91.00 % right after" in text
    assert "(−5.00 points), and 95.50 % after training on" in text
    assert "12,500 of 20,000 parameters (62 %)" in text
    assert "98.00 % by an MLP" in text
    assert "97.00 % by the same unit graph" in text
    assert "90.00 % by modules drawn at random" in text
    assert "1 min 42 s" in text


def test_an_accuracy_that_stays_is_said_to_stay(known):
    accuracy = known.test_score | {"cut": known.test_score["regularized"]}
    assert "removed (no change)," in words.summary(replace(known, test_score=accuracy))[1]


def test_modules_of_one_size_are_given_that_size(known):
    assert (
        "modules of 4 hidden units"
        in words.summary(replace(known, labels=labels_of(known, [4, 4, 4])))[0]
    )


def test_the_scores_of_one_seed_and_of_several_are_told_apart(known):
    assert words.precision(known) == (
        "One seed, and one of 100 test samples is 1 points; --seeds N shows mean and spread."
    )
    several = replace(known, other_seeds=[known.test_score] * 2)
    assert words.precision(several).startswith("Mean ± standard deviation of 3 seeds; all else")
    assert words.precision(replace(known, is_regression=True)).startswith("One seed; --seeds N")


def test_the_proof_has_its_numbers(known):
    paths, jacobian, difference = words.independence(known)
    assert "in 0 of 6 ordered pairs of modules" in paths
    assert "after 3 synchronous updates" in jacobian
    assert jacobian.endswith("is exactly 0.")
    assert "the largest difference is 2.3\u00a0×\u00a010⁻⁷ of the largest output" in difference


def test_what_did_not_happen_is_not_said(known):
    config = replace(known.config, finetune_epochs=0)
    run = replace(known, config=config, independence=Independence(0, 0.0, 0.0))
    assert words.summary(run)[1].endswith("removed (−5.00 points).")
    assert words.independence(run)[2].endswith("the largest difference is exactly 0.")


def test_one_unit_is_not_called_units(known):
    assert words.summary(replace(known, labels=labels_of(known, [1, 1, 1])))[0].endswith(
        "of 1 hidden unit."
    )


def test_what_modules_own_and_what_they_share_is_said(known):
    def said(*sizes):
        text = words.summary(replace(known, labels=labels_of(known, *sizes)))
        return text[0].partition("modules of ")[2], text[2].partition("parallel: ")[2]

    assert said([4, 4, 5]) == (
        "4 to 5 hidden units.",
        "they share nothing but their inputs, and their outputs add up.",
    )
    assert said([4, 4, 5], [20, 20, 24]) == (
        "20 to 24 inputs and 4 to 5 hidden units.",
        "they share no inputs, and their outputs add up.",
    )
    assert said([4, 4, 5], [20, 20, 24], [3, 3, 4]) == (
        "20 to 24 inputs and 4 to 5 hidden units and 3 to 4 outputs.",
        "they share no inputs, and no outputs.",
    )
    assert said([4, 4, 5], [20, 20, 23], [3, 3, 3]) == (
        "20 to 23 inputs and 4 to 5 hidden units and 3 outputs.",
        "they share 1 input, and shared outputs add up.",
    )
