"""The threads of numba, and where kernels must do without them."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from typing import Any

import torch

# Whether this process was forked from one that had started them, and has lost them.
_are_lost = False


def numba_with_threads() -> Any:
    """The package, its threads started."""
    return _started()[0]


def can_use_threads() -> bool:
    """Whether a kernel may run on the threads of numba here.

    GNU's OpenMP ends a forked process that asks for threads which its parent had; and numba's own
    ``workqueue`` ends one that asks for them from two threads at once.
    """
    if _are_lost:
        return False
    is_safe = _started()[1] != "workqueue"
    return is_safe or threading.current_thread() is threading.main_thread()


@cache
def _started() -> tuple[Any, str]:
    """The package, and the name of its threading layer."""
    import numba

    # They set the number of OpenMP's threads to that of the cores, and torch, which shares OpenMP,
    # would forget how many it was told to use.
    num_threads = torch.get_num_threads()
    package: Any = numba  # Its stubs do not know all of it.
    package.get_num_threads()
    torch.set_num_threads(num_threads)
    return package, package.threading_layer()


def _after_fork() -> None:
    global _are_lost
    numba: Any = sys.modules.get("numba")
    try:
        _are_lost = numba is not None and bool(numba.threading_layer())
    except (AttributeError, ValueError):  # Not imported to the end, or no threads yet.
        _are_lost = False


if hasattr(os, "register_at_fork"):  # Windows does not fork.
    os.register_at_fork(after_in_child=_after_fork)
