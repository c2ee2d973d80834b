import pytest
from matplotlib.figure import Figure

from pyg_modules.report import plot_edge_history
from pyg_modules.structure import EdgeRecord


@pytest.fixture
def ax():
    return Figure().subplots()


def test_every_number_is_a_line(ax):
    history = [EdgeRecord(0, 40, 40, 0), EdgeRecord(1, 30, 25, 5), EdgeRecord(2, 20, 12, 3)]
    assert plot_edge_history(history, ax=ax) is ax
    lines = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert lines == {
        "all edges": [40, 30, 20],
        "stayed from the first": [40, 25, 12],
        "grown in the epoch": [0, 5, 3],
    }
    assert all(line.get_xdata().tolist() == [1, 2, 3] for line in ax.lines)
    assert ax.get_ylim()[0] == 0


def test_one_epoch_can_be_seen(ax):
    plot_edge_history([EdgeRecord(0, 40, 40, 0)], ax=ax)
    assert {line.get_marker() for line in ax.lines} == {"o"}


def test_an_empty_history_is_refused(ax):
    with pytest.raises(ValueError, match=r"a record at least \(got an empty history"):
        plot_edge_history([], ax=ax)
