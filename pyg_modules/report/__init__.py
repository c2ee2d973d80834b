"""Figures of layers and of runs, for people to look at."""

from pyg_modules.report.html.layer_report import report
from pyg_modules.report.partition_figure import partition_figure
from pyg_modules.report.plots.plot_adjacency import plot_adjacency
from pyg_modules.report.plots.plot_agreement import plot_agreement
from pyg_modules.report.plots.plot_attribution import plot_attribution
from pyg_modules.report.plots.plot_convergence import plot_convergence
from pyg_modules.report.plots.plot_degrees import plot_degrees
from pyg_modules.report.plots.plot_edge_history import plot_edge_history
from pyg_modules.report.plots.plot_history import plot_history
from pyg_modules.report.plots.plot_lesions import plot_lesions
from pyg_modules.report.plots.plot_module_sizes import plot_module_sizes
from pyg_modules.report.plots.plot_rewiring import plot_rewiring
from pyg_modules.report.plots.plot_spectrum import plot_spectrum
from pyg_modules.report.plots.plot_topology_search import plot_topology_search
from pyg_modules.report.plots.plot_unit_graph import plot_unit_graph

__all__ = [
    "partition_figure",
    "plot_adjacency",
    "plot_agreement",
    "plot_attribution",
    "plot_convergence",
    "plot_degrees",
    "plot_edge_history",
    "plot_history",
    "plot_lesions",
    "plot_module_sizes",
    "plot_rewiring",
    "plot_spectrum",
    "plot_topology_search",
    "plot_unit_graph",
    "report",
]
