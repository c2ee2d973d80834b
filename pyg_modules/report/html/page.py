from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.experiment.table import score_of_seeds
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.report.html.chart import Chart
from pyg_modules.report.html.command import train_command
from pyg_modules.report.html.costs import cost, part_costs
from pyg_modules.report.html.edge_section import edge_section
from pyg_modules.report.html.interactive_graph import interactive_graph
from pyg_modules.report.html.layer_study import LayerStudy, no_modules
from pyg_modules.report.html.numbers import NARROW_SPACE, count
from pyg_modules.report.html.sections import (
    Section,
    adjacency,
    attribution,
    dynamics,
    lesions,
    sections,
    sizes,
)
from pyg_modules.report.html.words import (
    independence,
    precision,
    proof_in_words,
    study_in_words,
    summary,
)
from pyg_modules.report.palette import NEGATIVE, POSITIVE
from pyg_modules.report.unit_names import UnitNames
from pyg_modules.solve.unrolled import Unrolled
from pyg_modules.structure.sparse_schedule import SparseSchedule

_TEMPLATE, _GRAPH = "page.html", "graph"


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
    steps = run.config.steps
    trained_on = " and the training that followed" if run.config.finetune_epochs else ""
    return _filled(
        run.finetuned,
        run.labels,
        sections(run),
        UnitNames.of_file(run.encoding),
        title=f"{run.dataset}: {run.num_modules} neural modules",
        run=run,
        summary=summary(run),
        precision=precision(run),
        independence=independence(run),
        shown=f"The network after the cut{trained_on}.",
        costs=part_costs(run.finetuned, steps),
        whole_cost=cost(run.regularized, steps),
        whole="before the cut",
        settings=asdict(run.config),
        command=train_command(run, folder),
    )


def render_layer_page(
    study: LayerStudy, title: str, names: UnitNames, schedule: SparseSchedule | None = None
) -> str:
    """The report of a layer of one's own, likewise.

    Args:
        study (LayerStudy): The layer, and what was measured.
        title (str): What stands above it.
        names (UnitNames): What inputs and outputs are called.
        schedule (SparseSchedule, optional): What became of its edges. (default: not shown)

    Returns:
        str: The page.

    Raises:
        ImportError: If a library that a report is made with is not installed.
    """
    layer, labels, modular = study.layer, study.labels, study.modular
    parts = [adjacency(layer, labels)]
    parts += [] if schedule is None else [edge_section(layer.graph, schedule, labels)]
    is_unrolled = isinstance(layer.solver, Unrolled)
    costs: dict[str, Any] = {"costs": [], "whole_cost": None, "independence": []}
    if modular is not None and labels is not None and study.independence is not None:
        assert study.attribution is not None
        parts.append(sizes(modular, labels, names))
        if study.lesions is not None:
            parts.append(lesions(study.lesions, modular, labels, names))
        parts.append(attribution(study.attribution, None, names))
        costs = {
            # The number of updates of an equilibrium depends on the data.
            "costs": part_costs(modular, study.steps) if is_unrolled else [],
            "whole_cost": cost(layer, study.steps),
            "independence": proof_in_words(study.independence, int(labels.max()) + 1, study.steps),
        }
    parts.append(dynamics(layer, study.samples))
    return _filled(
        layer,
        no_modules(layer.graph) if labels is None else labels,
        parts,
        names,
        title=title,
        run=None,
        summary=study_in_words(study),
        shown="The layer as it was given.",
        whole="the whole layer",
        **costs,
    )


def _filled(
    layer: SynchronousGraph,
    labels: Tensor,
    parts: Sequence[Section],
    names: UnitNames,
    **content: Any,
) -> str:
    """The page with a drawing of a layer, and everything else that the template names."""
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment, PackageLoader, StrictUndefined

    graph = interactive_graph(layer, labels, names)
    charts = {
        one.key: one.figure
        for section in parts
        for one in section.figures
        if isinstance(one, Chart)
    }
    script, divs = components({_GRAPH: graph.figure, **charts})
    environment = Environment(
        loader=PackageLoader("pyg_modules.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, score_of_seeds=_score_of_seeds)
    return environment.get_template(_TEMPLATE).render(
        graph=graph,
        positive=POSITIVE,
        negative=NEGATIVE,
        sections=parts,
        script=script,
        graph_div=divs[_GRAPH],
        divs=divs,
        # Its widgets, tables and mathematics are not used: only the core is inlined.
        bokeh=Resources(mode="inline", components=["bokeh"]).js_raw[0],
        **content,
    )


def _score_of_seeds(run: ExperimentResult, name: str) -> str:
    return score_of_seeds(run, name).replace("%", f"{NARROW_SPACE}%").replace("-", "−")
