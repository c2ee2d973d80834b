"""What is said where memory is short."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_modules.ops.tracing import is_compiling

# How allocators of torch that have no class of error for it say so.
_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


def or_shortage(compute: Callable[[], Tensor], message: Callable[[], str]) -> Tensor:
    """What ``compute`` returns, or a ``torch.OutOfMemoryError`` with ``message``.

    Args:
        compute (Callable): What needs memory.
        message (Callable): How much, and what needs less.
    """
    if is_compiling():
        return compute()
    try:
        return compute()
    except RuntimeError as error:
        if not _is_shortage(error):
            raise
    # Outside, where what was computed so far is held no longer.
    raise torch.OutOfMemoryError(message())


def _is_shortage(error: RuntimeError) -> bool:
    says_so = any(message in str(error) for message in _MESSAGES)
    return isinstance(error, torch.OutOfMemoryError) or says_so
