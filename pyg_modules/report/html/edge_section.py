from __future__ import annotations

from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.html.degree_charts import degree_charts
from pyg_modules.report.html.history_chart import history_chart
from pyg_modules.report.html.numbers import count
from pyg_modules.report.html.rewiring_charts import rewiring_charts
from pyg_modules.report.html.sections import Section
from pyg_modules.structure.sparse_schedule import SparseSchedule


def edge_section(graph: UnitGraph, schedule: SparseSchedule, labels: Tensor | None) -> Section:
    """What became of the edges of a layer while it was trained, and which units have them now.

    Args:
        graph (UnitGraph): That of the layer that is shown, e.g. after a cut.
        schedule (SparseSchedule): That of the training, with a record at least.
        labels (LongTensor, optional): Module of every unit, ``[N]``.
    """
    first = schedule.first_graph
    charts = [history_chart(schedule.history)]
    if graph.num_hidden:
        charts += rewiring_charts(first, graph, labels) + degree_charts(first, graph)
    return Section("edges", "Edges that came and went", _text(graph, schedule), charts)


def _text(graph: UnitGraph, schedule: SparseSchedule) -> str:
    history = schedule.history
    last = history[-1]
    if any(record.num_grown or record.num_pruned for record in history):
        came = sum(record.num_grown for record in history)
        told = (
            f"The training began with {count(schedule.first_graph.num_edges)} edges. Its last epoch"
            f" has {count(last.num_edges)}: {count(last.num_stayed)} were there all along, and"
            f" {count(last.num_edges - last.num_stayed)} are left of {count(came)} that came."
        )
        if came:
            told += " In the squares, an edge that went and came back is one that was kept."
    else:
        told = f"No edge has come or gone yet: all {count(last.num_edges)} are those of the start."
    if graph != schedule.layer.graph:
        told += (
            f" The layer that is shown has {count(graph.num_edges)}, after what was done to it"
            f" since, such as a cut."
        )
    return f"{told} Point at an epoch, a bar or a square for its numbers."
