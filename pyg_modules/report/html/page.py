from __future__ import annotations

import os
from dataclasses import asdict

from pyg_modules.experiment.experiment import MODELS, ExperimentResult
from pyg_modules.experiment.table import score_of_seeds
from pyg_modules.report.html.command import train_command
from pyg_modules.report.html.costs import cost, part_costs
from pyg_modules.report.html.interactive_graph import interactive_graph
from pyg_modules.report.html.numbers import count
from pyg_modules.report.html.sections import sections
from pyg_modules.report.html.words import independence, summary
from pyg_modules.report.palette import NEGATIVE, POSITIVE

_TEMPLATE = "page.html"


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
    environment.filters.update(count=count, score_of_seeds=score_of_seeds)
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
        sections=sections(run),
        costs=part_costs(run.finetuned, steps),
        whole_cost=cost(run.regularized, steps),
        settings=asdict(run.config),
        command=train_command(run, folder),
    )
