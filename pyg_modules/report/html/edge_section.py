from __future__ import annotations

from collections.abc import Sequence

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.html.image import image
from pyg_modules.report.html.numbers import count
from pyg_modules.report.html.sections import Section
from pyg_modules.report.plots.plot_degrees import plot_degrees
from pyg_modules.report.plots.plot_edge_history import plot_edge_history
from pyg_modules.structure.edge_record import EdgeRecord

_TEXT = (
    "The number of edges by epoch, how many of them have been there all along, and how many came;"
    " and how the edges that are left are spread over the units."
)


def edge_section(graph: UnitGraph, history: Sequence[EdgeRecord]) -> Section:
    """What became of the edges of a layer while it was trained, and which units have them now.

    Raises:
        ValueError: If the history is empty.
    """
    if not history:
        raise ValueError("Expected a record at least in edge_history (got none). Train an epoch.")
    last = history[-1]
    numbers = f"{count(history[0].num_edges)} edges in the first epoch, {count(last.num_edges)}"
    stayed = f"{count(last.num_stayed)} of which were there all along"
    return Section(
        "edges",
        "Edges that came and went",
        _TEXT,
        [
            image(
                lambda ax: plot_edge_history(history, ax=ax),
                "Epoch by epoch",
                f"Numbers of edges by epoch: {numbers} in the last one, {stayed}.",
            ),
            image(
                lambda ax: plot_degrees(graph, ax=ax),
                "Edges of the hidden units",
                "Distribution of the numbers of edges into and out of a hidden unit.",
            ),
        ],
    )
