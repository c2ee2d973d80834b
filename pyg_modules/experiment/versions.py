"""With what a result was made."""

from __future__ import annotations

import platform
from importlib.metadata import version

from pyg_modules import __version__

_PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result depends on."""
    return {
        "python": platform.python_version(),
        "pyg-modules": __version__,
        **{name: version(name) for name in _PACKAGES},
    }
