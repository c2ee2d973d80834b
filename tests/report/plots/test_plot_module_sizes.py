import matplotlib
import numpy
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from pyg_modules import SynchronousGraph, UnitGraph, cut
from pyg_modules.report import plot_module_sizes
from pyg_modules.report.palette import module_color

matplotlib.use("Agg")
LABELS = torch.tensor([-1, 0, 1, 0, 0, -1])


@pytest.fixture
def ax():
    return Figure().subplots()


def test_bars_are_shares_and_numbers_are_counts(ax):
    layer = SynchronousGraph(UnitGraph.complete(1, 4, 1))
    assert plot_module_sizes(layer, LABELS, ax=ax) is ax
    # Module 0: 3 edges from the input, 9 within, 3 to the output; module 1: one of each.
    units, edges = (container.patches for container in ax.containers)
    numpy.testing.assert_allclose([bar.get_height() for bar in units], [75, 25])
    numpy.testing.assert_allclose(
        [bar.get_height() for bar in edges], [100 * 15 / 18, 100 * 3 / 18]
    )
    for bars in (units, edges):
        assert [bar.get_facecolor() for bar in bars] == [to_rgba(module_color(k)) for k in (0, 1)]
    for k in (0, 1):
        assert units[k].get_x() + units[k].get_width() == pytest.approx(k)
        assert edges[k].get_x() == pytest.approx(k)
    assert [text.get_text() for text in ax.texts] == ["3", "1", "15", "3"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["units (4)", "edges of modules (18)", "equal shares"]
    assert ax.lines[0].get_ydata()[0] == 50


def test_before_and_after_the_cut_it_is_the_same(ax):
    layer = SynchronousGraph(UnitGraph.complete(1, 4, 1))
    after = Figure().subplots()
    plot_module_sizes(layer, LABELS, ax=ax)
    plot_module_sizes(cut(layer, LABELS), LABELS, ax=after)
    heights = [[bar.get_height() for bar in one.patches] for one in (ax, after)]
    assert heights[0] == heights[1]


def test_modules_without_edges_have_no_share(ax):
    graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), 6, 1, 1)
    plot_module_sizes(SynchronousGraph(graph), LABELS, ax=ax)
    assert [bar.get_height() for bar in ax.containers[1]] == [0, 0]


@pytest.mark.parametrize(("num_modules", "num_texts"), [(12, 24), (20, 0)])
def test_more_modules_than_colors(ax, num_modules, num_texts):
    layer = SynchronousGraph(UnitGraph.complete(1, num_modules, 1))
    labels = torch.cat([torch.tensor([-1]), torch.arange(num_modules), torch.tensor([-1])])
    plot_module_sizes(layer, labels, ax=ax)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(map(str, range(num_modules)))
    assert ax.containers[0][-1].get_facecolor() == to_rgba(module_color(num_modules - 1))
    assert len(ax.texts) == num_texts


def test_bad_labels_are_refused(ax):
    layer = SynchronousGraph(UnitGraph.complete(1, 4, 1))
    with pytest.raises(ValueError, match=r"\[6\], one per unit"):
        plot_module_sizes(layer, LABELS[:3], ax=ax)
    with pytest.raises(ValueError, match=r"at least one module.*only shared units"):
        plot_module_sizes(layer, torch.full((6,), -1), ax=ax)


def test_of_many_modules_some_are_named(ax):
    labels = torch.tensor([-1] * 2 + [unit % 40 for unit in range(80)] + [-1])
    plot_module_sizes(SynchronousGraph(UnitGraph.complete(2, 80, 1)), labels, ax=ax)
    assert ax.get_xticks().tolist() == list(range(0, 40, 2))
