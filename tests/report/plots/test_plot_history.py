from io import BytesIO

import matplotlib
import numpy
import pytest
from matplotlib.figure import Figure

from pyg_modules.report import plot_history
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.train import EpochRecord

matplotlib.use("Agg")
HISTORY = [
    EpochRecord("free", {"task": 2.0}),
    EpochRecord("free", {"task": 1.0}),
    EpochRecord("ramp", {"task": 0.8, "ncut": 0.4, "balance": 0.1}),
    EpochRecord("full", {"task": 0.9, "ncut": 0.2, "balance": 0.0}),
    EpochRecord("cut", {"task": 0.5}),
]


@pytest.fixture
def ax():
    return Figure().subplots()


def test_a_loss_has_a_line_where_it_was_measured(ax):
    assert plot_history(HISTORY, ax=ax) is ax
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    assert lines.keys() == {"task loss", "soft normalized cut", "balance"}
    numpy.testing.assert_array_equal(
        lines["task loss"], [[1, 2.0], [2, 1.0], [3, 0.8], [4, 0.9], [5, 0.5]]
    )
    numpy.testing.assert_array_equal(lines["soft normalized cut"], [[3, 0.4], [4, 0.2]])
    assert len({line.get_color() for line in ax.lines}) == 3


def test_the_loss_of_validation_data_has_a_line(ax):
    losses = ({"task": 2.0, "validation": 3.0}, {"task": 1.0, "validation": 1.5})
    plot_history([EpochRecord("free", each) for each in losses], ax=ax)
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    numpy.testing.assert_array_equal(lines["validation loss"], [[1, 3.0], [2, 1.5]])


def test_phases_are_shaded_from_their_first_to_their_last_epoch(ax):
    plot_history(HISTORY, ax=ax)
    spans = {
        patch.get_label(): (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in ax.patches
    }
    assert spans == {
        "no regularizer": (0.5, 2.5),
        "regularizer raised": (2.5, 3.5),
        "regularizer on": (3.5, 4.5),
        "cut": (4.5, 5.5),
    }
    named = {text.get_text() for text in ax.get_legend().get_texts()}
    assert named >= spans.keys()


def test_a_balance_that_is_reached_does_not_flatten_the_others(ax):
    history = [EpochRecord("full", {"task": task, "balance": 1e-12}) for task in (2.0, 1e-5)]
    plot_history(history, ax=ax)
    assert ax.get_ylim()[0] == pytest.approx(5e-6)


def test_an_empty_history_is_refused(ax):
    with pytest.raises(ValueError, match="a record at least"):
        plot_history([], ax=ax)


def test_a_term_of_one_epoch_is_a_point(ax):
    plot_history(HISTORY[:3], ax=ax)
    markers = {line.get_label(): line.get_marker() for line in ax.lines}
    assert markers == {"task loss": "", "soft normalized cut": "o", "balance": "o"}


def test_epochs_are_whole_numbers(ax):
    plot_history(HISTORY[:2], ax=ax)
    ax.figure.canvas.draw()
    ticks = ax.get_xticks()
    numpy.testing.assert_array_equal(ticks, numpy.round(ticks))


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (EpochRecord("warm", {"task": 1.0}), r"a phase of 'free', .* \(got 'warm' in epoch 6\)"),
        (EpochRecord("cut", {"task": float("nan")}), r"finite losses .*nan.* in epoch 6"),
    ],
)
def test_bad_records_are_refused(ax, record, match):
    with pytest.raises(ValueError, match=match):
        plot_history([*HISTORY, record], ax=ax)


def test_where_a_loss_is_negative_the_scale_is_linear_and_shows_it(ax):
    plot_history([EpochRecord("free", {"task": loss}) for loss in (2.0, -1.0, -3.0)], ax=ax)
    assert ax.get_yscale() == "linear"
    low, high = ax.get_ylim()
    assert low < -3
    assert high > 2


def test_more_losses_than_colours_are_all_drawn_each_in_a_way_of_its_own(ax):
    losses = {f"loss {number}": 1.0 + number for number in range(2 * len(CATEGORIES))}
    plot_history([EpochRecord("free", losses)] * 2, ax=ax)
    assert [line.get_label() for line in ax.lines] == list(losses)
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == len(losses)


def test_names_are_written_as_they_are(ax):
    losses = {"_hidden": 1.0, "$x^$": 2.0}
    plot_history([EpochRecord("free", losses)] * 2, ax=ax)
    ax.figure.savefig(BytesIO())  # As mathematics it would be wrong.
    names = [text.get_text().strip() for text in ax.get_legend().get_texts()]
    assert names == ["no regularizer", *losses]


def test_a_cut_of_0_that_rounding_made_less_leaves_the_scale_logarithmic(ax):
    plot_history([EpochRecord("full", {"task": 0.5, "ncut": -3e-8, "balance": 1e-5})] * 3, ax=ax)
    assert ax.get_yscale() == "log"
