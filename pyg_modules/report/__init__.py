"""Figures and files of a run, for people to look at."""

from pyg_modules.report.adjacency import plot_adjacency
from pyg_modules.report.history import plot_history
from pyg_modules.report.partition_figure import partition_figure
from pyg_modules.report.run_folder import load_run, write_run

__all__ = ["load_run", "partition_figure", "plot_adjacency", "plot_history", "write_run"]
