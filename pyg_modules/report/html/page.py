from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from pyg_modules.experiment.experiment import MODELS, ExperimentResult
from pyg_modules.report.html.command import train_command
from pyg_modules.report.html.costs import cost, part_costs
from pyg_modules.report.html.figures import (
    adjacency_images,
    attribution_images,
    dynamics_images,
    lesions_images,
    sizes_images,
    training_images,
)
from pyg_modules.report.html.image import Image
from pyg_modules.report.html.interactive_graph import interactive_graph
from pyg_modules.report.html.numbers import count, percent
from pyg_modules.report.html.words import independence, summary
from pyg_modules.report.palette import NEGATIVE, POSITIVE

_TEMPLATE = "page.html"


@dataclass(frozen=True)
class _Section:
    """A part of the page that is figures and the text that explains them."""

    key: str
    title: str
    text: str
    draw: Callable[[ExperimentResult], list[Image]]


_SECTIONS = (
    _Section(
        "adjacency",
        "Weights between hidden units",
        "Rows receive, columns send; the darker, the larger the weight, on one scale. Ordered by"
        " module, a block on the diagonal is what a module keeps; the cut removes what is outside.",
        adjacency_images,
    ),
    _Section(
        "training",
        "Training",
        "Shades are phases: the task alone, then the normalized cut and the balance of the modules"
        " join the loss; after the cut, the task alone again.",
        training_images,
    ),
    _Section(
        "sizes",
        "Modules: sizes and costs",
        "What each module takes as a network by itself. Each has biases for the outputs, which are"
        " 0 in all but the first.",
        sizes_images,
    ),
    _Section(
        "lesions",
        "What is lost without a module",
        "Each module is left out in turn, then works alone. A class whose accuracy falls without a"
        " module needs it. The biases of the outputs go and stay with module 0.",
        lesions_images,
    ),
    _Section(
        "attribution",
        "What each module looks at",
        "All modules see all inputs; the brighter, the more an input changes a module's outputs, as"
        " a mean over the test data.",
        attribution_images,
    ),
    _Section(
        "dynamics",
        "The updates",
        "All units are updated at once, again and again. The residual says how much one more update"
        " would change. With a spectral norm below 1, and an activation whose slope is at most 1,"
        " it is sure to fall to 0.",
        dynamics_images,
    ),
)


def render_page(run: ExperimentResult, folder: str | os.PathLike[str]) -> str:
    """The report of a run, as one HTML page that needs no other file and no network.

    Args:
        run (ExperimentResult): The run.
        folder (path): Where the command that is given to make the run again writes it.

    Returns:
        str: The page.

    Raises:
        ImportError: If a library that a report is made with is not installed.
    """
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment, PackageLoader, StrictUndefined

    graph = interactive_graph(run.finetuned, run.labels)
    script, div = components(graph.figure)
    environment = Environment(
        loader=PackageLoader("pyg_modules.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, percent=percent)
    steps = run.config.steps
    return environment.get_template(_TEMPLATE).render(
        run=run,
        models=MODELS,
        summary=summary(run),
        independence=independence(run),
        graph=graph,
        positive=POSITIVE,
        negative=NEGATIVE,
        graph_script=script,
        graph_div=div,
        # Its widgets, tables and mathematics are not used: only the core is inlined.
        bokeh=Resources(mode="inline", components=["bokeh"]).js_raw[0],
        sections=[(section, section.draw(run)) for section in _SECTIONS],
        costs=part_costs(run.finetuned, steps),
        whole_cost=cost(run.regularized, steps),
        settings=asdict(run.config),
        command=train_command(run, folder),
    )
