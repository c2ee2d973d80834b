"""Whether it is memory that is short."""

from __future__ import annotations

import torch

# How allocators of torch that have no class of error for it say so.
_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


def is_shortage(error: RuntimeError) -> bool:
    """Whether ``error`` of torch says that memory does not suffice."""
    says_so = any(message in str(error) for message in _MESSAGES)
    return isinstance(error, torch.OutOfMemoryError) or says_so
