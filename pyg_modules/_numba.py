"""Functions that numba compiles, and keeps in files where there is a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def is_usable() -> bool:
    """Whether numba is there, fits the installed NumPy, and is not told to compile nothing."""
    try:
        import numba
    except ImportError:
        return False
    settings: Any = numba.config
    return not settings.DISABLE_JIT


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with a cache, or without one where no folder can be written to."""
    import numba

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # As of a user without a home, of a package that is read only.
            return numba.njit(**options)(function)

    return compiled
