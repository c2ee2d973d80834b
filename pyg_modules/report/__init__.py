"""Figures and files of a run, for people to look at."""

from pyg_modules.report.adjacency import plot_adjacency
from pyg_modules.report.partition_figure import partition_figure
from pyg_modules.report.run_folder import write_run

__all__ = ["partition_figure", "plot_adjacency", "write_run"]
