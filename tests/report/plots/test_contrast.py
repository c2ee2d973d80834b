"""Whatever matplotlib's style is, what is written and drawn can be seen on what is behind it.

The contrast is that of the Web Content Accessibility Guidelines, and theirs is the bound for large
text and for graphics: https://www.w3.org/TR/WCAG21/#non-text-contrast
"""

from types import SimpleNamespace

import matplotlib
import numpy
import pytest
import torch
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, report
from pyg_modules.experiment import ExperimentConfig
from pyg_modules.modules import LesionStudy
from pyg_modules.report.palette import CATEGORIES
from pyg_modules.structure import EdgeRecord, TopologySpace, search_topology
from pyg_modules.train import EpochRecord

matplotlib.use("Agg")

LABELS = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
LEAST = 3.0
STYLES = {
    "default": "default",
    "dark": "dark_background",
    "grey axes": "ggplot",
    "colored axes": ["dark_background", {"axes.facecolor": "#002b36"}],
    "colored everywhere": "Solarize_Light2",
    "transparent axes": ["dark_background", {"axes.facecolor": "none"}],
    "transparent figure": ["dark_background", {"figure.facecolor": "none"}],
    "all transparent": [
        "dark_background",
        {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "black"},
    ],
}


def layer():
    return SynchronousGraph(UnitGraph.complete(2, 4, 1), Equilibrium(contraction=0.9), "tanh")


def partition_figure(_):
    network = layer()
    result = SimpleNamespace(
        config=ExperimentConfig(),
        free=network,
        free_labels=LABELS,
        regularized=network,
        labels=LABELS,
        finetuned=network,
        dataset="planted",
        num_modules=2,
        test_score=dict.fromkeys(("free", "regularized", "cut", "finetuned"), 0.5),
        is_regression=False,
        normalized_cut=dict.fromkeys(("free", "regularized", "cut", "finetuned"), 0.5),
    )
    return report.partition_figure(result)


HISTORY = [
    EpochRecord("free", {"task": 2.0}),
    EpochRecord("ramp", {"task": 0.8, "ncut": 0.4, "balance": 0.1}),
    EpochRecord("full", {"task": 0.9, "ncut": 0.2, "balance": 0.0}),
    EpochRecord("cut", {"task": 0.5}),
]
STUDY = LesionStudy(
    all=torch.tensor([1.0, 0.5]),
    without=torch.tensor([[0.25, 0.0], [0.75, 0.5]]),
    only=torch.tensor([[0.5, 1.0], [0.0, 0.25]]),
    num_samples=torch.tensor([30, 10]),
)
EDGE_HISTORY = [EdgeRecord(0, 40, 40, 0, 0, 0), EdgeRecord(1, 30, 25, 5, 15, 5)]
SPACE = TopologySpace(num_inputs=2, num_outputs=1, max_parameters=60)
SEARCH = search_topology(lambda _, trial: trial.user_attrs["seed"] / 4, SPACE, num_trials=4, seed=0)
PLOTS = {
    "partition_figure": partition_figure,
    "plot_adjacency": lambda ax: report.plot_adjacency(layer(), LABELS, ax=ax),
    "plot_agreement": lambda ax: report.plot_agreement([LABELS, LABELS.flip(0), LABELS], ax=ax),
    "plot_attribution": lambda ax: report.plot_attribution(torch.rand(2, 4), ax=ax),
    "plot_convergence": lambda ax: report.plot_convergence(layer(), torch.rand(5, 2), ax=ax),
    "plot_degrees": lambda ax: report.plot_degrees(layer().graph, before=layer().graph, ax=ax),
    "plot_edge_history": lambda ax: report.plot_edge_history(EDGE_HISTORY, ax=ax),
    "plot_history": lambda ax: report.plot_history(HISTORY, ax=ax),
    "plot_lesions": lambda ax: report.plot_lesions(STUDY, ax=ax),
    "plot_module_sizes": lambda ax: report.plot_module_sizes(layer(), LABELS, ax=ax),
    "plot_rewiring": lambda ax: report.plot_rewiring(
        UnitGraph.complete(2, 4, 1), UnitGraph.layered([2, 4, 1]), LABELS, ax=ax
    ),
    "plot_spectrum": lambda ax: report.plot_spectrum(layer(), ax=ax),
    "plot_topology_search": lambda ax: report.plot_topology_search(SEARCH, ax=ax),
    "plot_unit_graph": lambda ax: report.plot_unit_graph(layer(), LABELS, ax=ax),
}
#: What is drawn in the colours of the style and of the signs; a category has a colour of its own.
DRAWN = {
    "plot_convergence": {"tolerance 1e-05", "legend"},
    "plot_degrees": {"legend"},
    "plot_edge_history": {"legend"},
    "plot_history": {"legend"},
    "plot_module_sizes": {"equal shares", "legend"},
    "plot_rewiring": {"legend"},
    "plot_spectrum": {"unit circle", "legend"},
    "plot_topology_search": {"Pareto front", "legend"},
    "plot_unit_graph": {"edges", "legend"},
}
NAMED = set().union(*DRAWN.values())


def luminance(color):
    channels = numpy.asarray(color)
    linear = numpy.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def page():
    """What a transparent figure is seen on: white for dark text, else black."""
    return "white" if luminance(to_rgb(matplotlib.rcParams["text.color"])) < 0.18 else "black"


def pixels(figure):
    """The colours of a drawn figure, ``[rows from below, columns, 3]``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = numpy.asarray(canvas.buffer_rgba())[::-1] / 255
    opacity = drawn[..., 3:]
    return drawn[..., :3] * opacity + numpy.array(to_rgb(page())) * (1 - opacity)


def drawn(name):
    figure = Figure()
    made = PLOTS[name](figure.subplots())
    return made if isinstance(made, Figure) else figure


def is_drawn(text):
    box, (width, height) = text.get_window_extent(), text.figure.bbox.size
    is_on_paper = 0 <= box.x0 < width and 0 <= box.y0 < height
    return text.get_visible() and is_on_paper and (text.axes is None or text.axes.axison)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", PLOTS)
def test_text_can_be_read(name, style):
    with pyplot.style.context(STYLES[style]):
        figure = drawn(name)
        pixels(figure)  # Tick labels are there now.
        texts = [one for one in figure.findobj(Text) if one.get_text().strip() and is_drawn(one)]
        colors = {one: to_rgb(one.get_color()) for one in texts}
        for one in texts:
            one.set_color("none")
        behind = pixels(figure)
        for one, color in colors.items():
            box = one.get_window_extent()
            rows = slice(max(0, int(box.y0)), max(0, int(box.y1)) + 1)
            columns = slice(max(0, int(box.x0)), max(0, int(box.x1)) + 1)
            ground = numpy.median(behind[rows, columns].reshape(-1, 3), axis=0)
            assert contrast(color, ground) >= LEAST, (one.get_text(), color, ground)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", PLOTS)
def test_lines_and_edges_can_be_seen(name, style):
    with pyplot.style.context(STYLES[style]):
        figure = drawn(name)
        seen = set()
        for ax in figure.axes:
            lines = {one.get_label(): [one.get_color()] for one in ax.lines}
            lines |= {one.get_label(): one.get_edgecolor() for one in ax.collections}
            if (legend := ax.get_legend()) is not None:
                colors = [one.get_color() for one in legend.get_lines()]
                lines["legend"] = [color for color in colors if color not in CATEGORIES]
            for label in set(lines) & NAMED:
                seen.add(label)
                for color in lines[label]:
                    found = contrast(to_rgb(color), ground_of(ax))
                    assert found >= LEAST, (label, color, ground_of(ax))
    assert seen == DRAWN.get(name, set())


def ground_of(ax):
    for patch in (ax.patch, ax.figure.patch):
        if patch.get_facecolor()[3] == 1:
            return patch.get_facecolor()[:3]
    return to_rgb(page())


def test_every_plot_is_looked_at():
    assert list(PLOTS) == [name for name in report.__all__ if name != "report"]  # A page of all.
