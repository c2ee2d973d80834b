from io import BytesIO

import matplotlib
import numpy
import pytest
import torch
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, cut
from pyg_modules.report import plot_unit_graph
from pyg_modules.report.palette import (
    CATEGORIES,
    INPUT,
    NEGATIVE,
    OUTPUT,
    POSITIVE,
    SHARED_UNIT,
    module_color,
)

matplotlib.use("Agg")
# Inputs 0 and 1, hidden units 2 to 5, outputs 6 and 7; a cycle, a self-loop, one edge both ways.
EDGES = torch.tensor([[0, 1, 2, 3, 2, 4, 5, 4, 7], [2, 4, 3, 2, 2, 5, 6, 7, 3]])
WEIGHTS = torch.tensor([0.5, -1.0, 0.25, -0.75, 0.1, 0.2, -0.3, 0.4, 0.0])
LABELS = torch.tensor([-1, -1, 0, 0, 1, -1, -1, -1])


@pytest.fixture
def ax():
    return Figure().subplots()


def small_layer():
    layer = SynchronousGraph(UnitGraph(EDGES, 8, 2, 2))
    with torch.no_grad():
        layer.weight.copy_(WEIGHTS)
    return layer


def complete_layer(num_inputs, num_hidden, num_outputs, num_modules):
    """With signed weights, and modules of about the same size among the hidden units."""
    layer = SynchronousGraph(UnitGraph.complete(num_inputs, num_hidden, num_outputs))
    layer.reset_parameters(torch.Generator().manual_seed(0))
    labels = torch.full((layer.graph.num_units,), -1)
    hidden = layer.graph.hidden
    labels[hidden.start : hidden.stop] = torch.arange(num_hidden) % num_modules
    return layer, labels


def circles(ax):
    """By group: centres, widths and colours."""
    return {
        group.get_label(): (group.get_offsets(), group.get_widths(), group.get_facecolors())
        for group in ax.collections
        if isinstance(group, EllipseCollection)
    }


def lines(ax):
    (found,) = (one for one in ax.collections if isinstance(one, LineCollection))
    return found


def positions(ax, graph, labels):
    """The centre of every unit, ``[N, 2]``, from the circles of its group."""
    found, centers = circles(ax), numpy.zeros((graph.num_units, 2))
    unit_ids = numpy.arange(graph.num_units)
    is_hidden = (unit_ids >= graph.hidden.start) & (unit_ids < graph.hidden.stop)
    of_label = numpy.where(is_hidden, labels.numpy(), -2)
    groups = {"inputs": unit_ids < graph.num_inputs, "outputs": unit_ids >= graph.outputs.start}
    groups["shared by all modules"] = of_label == -1
    groups |= {f"module {k}": of_label == k for k in range(int(labels.max()) + 1)}
    for name, members in groups.items():
        if members.any():
            centers[members] = found[name][0]
    return centers


def test_every_group_has_its_units_and_its_color(ax):
    assert plot_unit_graph(small_layer(), LABELS, ax=ax) is ax
    expected = {
        "inputs": (2, INPUT),
        "module 0": (2, CATEGORIES[0]),
        "module 1": (1, CATEGORIES[1]),
        "shared by all modules": (1, SHARED_UNIT),
        "outputs": (2, OUTPUT),
    }
    found = circles(ax)
    assert found.keys() == expected.keys()
    for name, (size, color) in expected.items():
        offsets, widths, colors = found[name]
        assert len(offsets) == len(widths) == size
        assert (colors == to_rgba(color)).all()
    titles = {text.get_text() for text in ax.texts}
    assert titles == {"inputs (2)", "0", "1", "shared (1)", "outputs (2)"}


def test_edges_run_from_source_to_target_with_width_and_color_of_the_weight(ax):
    layer = small_layer()
    plot_unit_graph(layer, LABELS, ax=ax)
    centers = positions(ax, layer.graph, LABELS)
    # From the weakest, below, to the strongest, on top; the edge of weight 0 is not there.
    order = WEIGHTS.abs().argsort()[1:]
    segments = numpy.array(lines(ax).get_segments())
    numpy.testing.assert_allclose(segments[:, 0], centers[EDGES[0, order]], atol=1e-6)
    numpy.testing.assert_allclose(segments[:, -1], centers[EDGES[1, order]], atol=1e-6)
    numpy.testing.assert_allclose(lines(ax).get_linewidths(), 0.3 + 1.3 * WEIGHTS[order].abs())
    colors = [to_rgb(POSITIVE if weight > 0 else NEGATIVE) for weight in WEIGHTS[order]]
    assert [tuple(color[:3]) for color in lines(ax).get_colors()] == colors
    assert (
        ax.get_legend().get_title().get_text()
        == "all 8 edges\nwidest |weight| 1; numbers are modules"
    )
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["positive weight", "negative weight"]


def test_an_edge_bends_to_its_right(ax):
    layer = small_layer()
    plot_unit_graph(layer, LABELS, ax=ax)
    centers = positions(ax, layer.graph, LABELS)
    order = WEIGHTS.abs().argsort()[1:]
    for edge, segment in zip(order.tolist(), lines(ax).get_segments(), strict=True):
        source, target = EDGES[:, edge].tolist()
        middle = segment[len(segment) // 2] - centers[source]
        if source == target:
            assert numpy.linalg.norm(middle) > 0.1
        else:
            along = centers[target] - centers[source]
            assert along[0] * middle[1] - along[1] * middle[0] < 0


@pytest.mark.parametrize(
    ("num_hidden", "num_modules"), [(9, 3), (12, 1), (226, 4), (226, 12), (200, 20)]
)
def test_units_do_not_overlap(ax, num_hidden, num_modules):
    layer, labels = complete_layer(64, num_hidden, 10, num_modules)
    plot_unit_graph(layer, labels, ax=ax)
    found = circles(ax)
    assert len(found) == num_modules + 2
    centers = torch.tensor(numpy.concatenate([offsets for offsets, _, _ in found.values()]))
    radius = torch.tensor(numpy.concatenate([widths for _, widths, _ in found.values()])) / 2
    assert len(centers) == layer.graph.num_units
    distance = torch.cdist(centers, centers)
    distance.fill_diagonal_(torch.inf)
    assert (distance >= radius[:, None] + radius).all()
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    inside = (centers[:, 0] - radius > left) & (centers[:, 0] + radius < right)
    inside &= (centers[:, 1] - radius > bottom) & (centers[:, 1] + radius < top)
    assert inside.all()
    hidden = torch.tensor(numpy.concatenate([found[f"module {k}"][0] for k in range(num_modules)]))
    assert found["inputs"][0][:, 0].max() < hidden[:, 0].min()
    assert hidden[:, 0].max() < found["outputs"][0][:, 0].min()


def test_modules_beyond_the_palette_are_numbered_and_start_again_with_its_colors(ax):
    layer, labels = complete_layer(3, 28, 2, 14)
    plot_unit_graph(layer, labels, ax=ax)
    found = circles(ax)
    for k in range(14):
        assert (found[f"module {k}"][2] == to_rgba(module_color(k))).all()
    assert {text.get_text() for text in ax.texts} >= {str(k) for k in range(14)}


def test_only_the_strongest_edges_are_drawn_and_the_legend_says_so(ax):
    layer, labels = complete_layer(5, 30, 3, 3)
    plot_unit_graph(layer, labels, ax=ax)
    num_edges = layer.graph.num_edges
    assert num_edges == 5 * 30 + 30 * 30 + 30 * 3
    title = ax.get_legend().get_title().get_text()
    strongest = layer.weight.detach().abs().sort().values[-300:]
    assert title.split("\n") == [
        "300 strongest of 1,140 edges",
        f"widest |weight| {strongest[-1]:.4g}; numbers are modules",
    ]
    expected = 0.3 + 1.3 * strongest / strongest[-1]
    numpy.testing.assert_allclose(lines(ax).get_linewidths(), expected, rtol=1e-5)


def test_a_cut_layer_brings_its_modules_and_has_no_edge_between_them(ax):
    layer, labels = complete_layer(2, 12, 2, 3)
    modular = cut(layer, labels)
    plot_unit_graph(modular, ax=ax)
    centers = torch.tensor(positions(ax, modular.graph, labels))
    ends = torch.tensor(numpy.array(lines(ax).get_segments())[:, [0, -1]])
    units = torch.cdist(ends.double(), centers).argmin(dim=-1)
    modules = labels[units]
    shared = (modules < 0).any(dim=1)
    assert (modules[~shared, 0] == modules[~shared, 1]).all()
    assert len(ends) == modular.graph.num_edges


def test_without_modules_all_hidden_units_stand_in_one_circle(ax):
    plot_unit_graph(small_layer(), ax=ax)
    found = circles(ax)
    assert found.keys() == {"inputs", "hidden units", "outputs"}
    offsets = found["hidden units"][0]
    distance = numpy.linalg.norm(offsets - offsets.mean(axis=0), axis=1)
    numpy.testing.assert_allclose(distance, distance[0], rtol=1e-5)
    assert ax.get_legend().get_title().get_text() == "all 8 edges\nwidest |weight| 1"


def test_inputs_and_outputs_of_a_module_have_its_color(ax):
    labels = torch.tensor([1, -1, 0, 0, 1, 1, 0, 1])
    plot_unit_graph(small_layer(), labels, ax=ax)
    found = circles(ax)
    expected = {"inputs": (INPUT, CATEGORIES[1]), "outputs": (CATEGORIES[0], CATEGORIES[1])}
    by_height = {name: found[name][0][:, 1].argsort()[::-1] for name in expected}
    # −1 stands above 0, and 0 above 1.
    for name, colors in expected.items():
        offsets, _, drawn = found[name]
        assert (offsets[:, 0] == offsets[0, 0]).all()
        assert [tuple(drawn[unit]) for unit in by_height[name]] == [to_rgba(c) for c in colors]


def test_weights_are_those_that_the_solver_uses(ax):
    layer = SynchronousGraph(UnitGraph(EDGES, 8, 2, 2), Equilibrium(contraction=0.5), "tanh")
    with torch.no_grad():
        layer.weight.copy_(10 * WEIGHTS)
    plot_unit_graph(layer, LABELS, ax=ax)
    used = layer.scaled_weight().detach()
    used = used[used != 0].abs().sort().values
    assert not torch.allclose(used, 10 * WEIGHTS[WEIGHTS != 0].abs().sort().values)
    expected = 0.3 + 1.3 * used / used[-1]
    numpy.testing.assert_allclose(lines(ax).get_linewidths(), expected, rtol=1e-5)


def large_layer():
    """301 units: three modules of 100, 64 and 36, with an input and an output of their own."""
    layer = SynchronousGraph(UnitGraph.complete(60, 200, 41))
    layer.reset_parameters(torch.Generator().manual_seed(0))
    labels = torch.full((301,), -1)
    labels[60:260] = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([100, 64, 36]))
    return layer, labels


def test_above_300_units_a_module_is_a_circle_with_the_area_of_its_size(ax):
    layer, labels = large_layer()
    plot_unit_graph(layer, labels, ax=ax)
    found = circles(ax)
    sizes = {"inputs": 60, "module 0": 100, "module 1": 64, "module 2": 36, "outputs": 41}
    assert found.keys() == sizes.keys()
    areas = numpy.array([found[name][1].item() ** 2 for name in sizes])
    numpy.testing.assert_allclose(areas / areas[1], numpy.array(list(sizes.values())) / 100, 1e-5)
    layer, labels = complete_layer(60, 200, 40, 3)
    assert layer.graph.num_units == 300
    other = Figure().subplots()
    plot_unit_graph(layer, labels, ax=other)
    assert len(circles(other)["inputs"][0]) == 60


def test_above_300_units_an_edge_is_the_sum_of_magnitudes(ax):
    layer, labels = large_layer()
    plot_unit_graph(layer, labels, ax=ax)
    weight, (source, target) = layer.weight.detach(), layer.graph.edge_index
    found = circles(ax)
    group = labels.clone()
    group[:60], group[260:] = 3, 4
    names = ["module 0", "module 1", "module 2", "inputs", "outputs"]
    sums = {}
    for one in range(5):
        for other in range(5):
            between = (group[source] == one) & (group[target] == other)
            if between.any():
                sums[one, other] = float(weight[between].abs().sum())
    # Inputs to modules, modules to each other and themselves, modules to outputs.
    assert len(sums) == 3 + 9 + 3
    strongest = max(sums.values())
    expected = sorted(sums.items(), key=lambda item: item[1])
    for ((one, other), value), segment, width in zip(
        expected, lines(ax).get_segments(), lines(ax).get_linewidths(), strict=True
    ):
        numpy.testing.assert_allclose(segment[0], found[names[one]][0][0], atol=1e-6)
        numpy.testing.assert_allclose(segment[-1], found[names[other]][0][0], atol=1e-6)
        assert width == pytest.approx(0.5 + 6.5 * value / strongest, rel=1e-5)
    title = ax.get_legend().get_title().get_text()
    assert title.split("\n") == [
        "all 15 pairs of groups with edges",
        f"widest sum {strongest:.4g}; numbers are modules",
    ]
    (name,) = (text.get_text() for text in ax.get_legend().get_texts())
    assert name == "sum of |weight| from one group to another"


def test_above_300_units_self_loops_are_within_the_axes(ax):
    layer, labels = large_layer()
    plot_unit_graph(layer, labels, ax=ax)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x, y = numpy.concatenate(lines(ax).get_segments()).T
    assert left < x.min() < x.max() < right
    assert bottom < y.min() < y.max() < top


def test_above_300_units_inputs_and_outputs_of_a_module_are_part_of_it(ax):
    layer, labels = large_layer()
    labels[:60] = torch.arange(60) % 3
    labels[260:] = 0
    plot_unit_graph(layer, labels, ax=ax)
    found = circles(ax)
    assert found.keys() == {"module 0", "module 1", "module 2"}
    areas = numpy.array([found[f"module {k}"][1].item() ** 2 for k in range(3)])
    numpy.testing.assert_allclose(areas / areas[0], numpy.array([161, 84, 56]) / 161, 1e-5)


def test_a_number_does_not_hide_a_small_circle(ax):
    layer, labels = complete_layer(784, 80, 10, 2)
    plot_unit_graph(layer, labels, ax=ax)
    found = circles(ax)
    numbers = {text.get_text(): numpy.array(text.get_position()) for text in ax.texts}
    for k in (0, 1):
        centers, widths, _ = found[f"module {k}"]
        assert numpy.linalg.norm(numbers[str(k)] - centers[0]) > widths[0] / 2


def test_a_layer_without_edges_has_none(ax):
    layer = SynchronousGraph(UnitGraph(torch.empty(2, 0, dtype=torch.long), 4, 1, 1))
    plot_unit_graph(layer, ax=ax)
    assert not lines(ax).get_segments()
    assert ax.get_legend().get_title().get_text() == "all 0 edges\nwidest |weight| 0"
    assert circles(ax).keys() == {"inputs", "hidden units", "outputs"}


def test_it_can_be_drawn_at_any_size():
    layer, labels = complete_layer(5, 12, 2, 3)
    for size in ((3.2, 3.2), (12, 4)):
        figure = Figure(figsize=size, layout="constrained")
        plot_unit_graph(layer, labels, ax=figure.subplots())
        figure.savefig(BytesIO())
        (ax,) = figure.axes
        across = ax.transData.transform([(0, 0), (1, 0), (0, 1)])
        assert across[1, 0] - across[0, 0] == pytest.approx(across[2, 1] - across[0, 1])


def test_bad_arguments_are_refused(ax):
    layer = small_layer()
    with pytest.raises(ValueError, match=r"\[8\], one per unit"):
        plot_unit_graph(layer, LABELS[:3], ax=ax)
    with torch.no_grad():
        layer.weight[0] = torch.nan
    with pytest.raises(ValueError, match=r"finite weights.*lower the learning rate"):
        plot_unit_graph(layer, LABELS, ax=ax)
    assert not ax.collections
