import numpy
import pytest
from matplotlib.figure import Figure

from pyg_modules.report import plot_edge_history
from pyg_modules.structure import EdgeRecord

HISTORY = [
    EdgeRecord(0, 40, 40, 0, 0, 0),
    EdgeRecord(1, 30, 25, 5, 15, 2),
    EdgeRecord(2, 20, 12, 3, 13, 3),
]


@pytest.fixture
def ax():
    return Figure().subplots()


def bands(ax):
    """Where every band begins and ends, by its name, and the borders of the epochs."""
    found = {patch.get_label(): patch.get_data() for patch in ax.patches}
    (borders,) = {tuple(data.edges.tolist()) for data in found.values()}
    return {
        name: (data.baseline.tolist(), data.values.tolist()) for name, data in found.items()
    }, borders


def test_every_edge_is_in_a_band(ax):
    assert plot_edge_history(HISTORY, ax=ax) is ax
    assert bands(ax) == (
        {
            "there from the first": ([0, 0, 0], [40, 25, 12]),
            "grown before": ([40, 25, 12], [40, 25, 17]),
            "grown now, there still": ([40, 25, 17], [40, 27, 20]),
            "grown now, gone since": ([40, 27, 20], [40, 30, 20]),
            "pruned now": ([0, -15, -13], [0, 0, 0]),
        },
        (0.5, 1.5, 2.5, 3.5),
    )
    low, high = ax.get_ylim()
    assert low < -15
    assert high > 40
    colors = [tuple(patch.get_facecolor()) for patch in ax.patches]
    assert len(set(colors)) == 5


def test_what_was_recorded_stays_until_the_next_record(ax):
    plot_edge_history([HISTORY[0], HISTORY[2]], ax=ax)
    assert bands(ax)[1] == (0.5, 2.5, 3.5)


def test_one_epoch_can_be_seen(ax):
    plot_edge_history(HISTORY[:1], ax=ax)
    found, borders = bands(ax)
    assert found["there from the first"] == ([0], [40])
    assert borders == (0.5, 1.5)
    low, high = ax.get_xlim()
    assert numpy.diff([low, *borders, high]).min() >= 0


def test_an_empty_history_is_refused(ax):
    with pytest.raises(ValueError, match=r"a record at least \(got an empty history"):
        plot_edge_history([], ax=ax)
