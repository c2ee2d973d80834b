from __future__ import annotations

from importlib import import_module

_LIBRARIES = ("matplotlib", "bokeh", "jinja2")


def check_report_libraries() -> None:
    """Raise unless the libraries that a report is made with are installed.

    Raises:
        ImportError: If one of them is missing.
    """
    for name in _LIBRARIES:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(
                f"A report needs {name}: pip install 'pyg-modules[report]'"
            ) from error
