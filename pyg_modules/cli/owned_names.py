from __future__ import annotations

from torch import Tensor

from pyg_modules.datasets.encoding import Encoding
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.unit_names import UnitNames

# Of a module; the report has all.
_MOST_NAMED = 20


def print_owned_names(encoding: Encoding | None, graph: UnitGraph, labels: Tensor) -> None:
    """Print which columns and classes of a file modules have of their own, if any have some."""
    for sentence in UnitNames.of_file(encoding).by_module(graph, labels, _MOST_NAMED):
        print(sentence)
