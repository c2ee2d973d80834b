"""One page that shows a run: self-contained HTML with an interactive unit graph."""

from pyg_modules.report.html.interactive_graph import InteractiveGraph, interactive_graph
from pyg_modules.report.html.libraries import check_report_libraries
from pyg_modules.report.html.write import write_report, write_run_with_report

__all__ = [
    "InteractiveGraph",
    "check_report_libraries",
    "interactive_graph",
    "write_report",
    "write_run_with_report",
]
