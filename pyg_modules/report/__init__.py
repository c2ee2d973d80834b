"""Figures and files of a run, for people to look at."""

from pyg_modules.report.partition_figure import partition_figure
from pyg_modules.report.plots.adjacency import plot_adjacency
from pyg_modules.report.plots.agreement import plot_agreement
from pyg_modules.report.plots.attribution import plot_attribution
from pyg_modules.report.plots.convergence import plot_convergence
from pyg_modules.report.plots.history import plot_history
from pyg_modules.report.plots.lesions import plot_lesions
from pyg_modules.report.plots.module_sizes import plot_module_sizes
from pyg_modules.report.plots.spectrum import plot_spectrum
from pyg_modules.report.plots.unit_graph import plot_unit_graph
from pyg_modules.report.run_folder import load_run, write_run

__all__ = [
    "load_run",
    "partition_figure",
    "plot_adjacency",
    "plot_agreement",
    "plot_attribution",
    "plot_convergence",
    "plot_history",
    "plot_lesions",
    "plot_module_sizes",
    "plot_spectrum",
    "plot_unit_graph",
    "write_run",
]
