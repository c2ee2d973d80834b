"""Whether autocast looks on, and what it asks for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

#: Types of devices where states in half precision are computed faster.
_FAST_IN_HALF = ("cuda",)


def has_autocast(device: torch.device) -> bool:
    """Whether autocast changes dtypes of what is computed on ``device``."""
    kind = device.type
    return _knows_autocast(kind) and torch.is_autocast_enabled(kind)


# Not every torch can trace the question: compilers ask it once and keep the answer.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _knows_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)


def half_precision(device: torch.device) -> torch.dtype | None:
    """The dtype of autocast where it is on and pays on ``device``; else ``None``."""
    if device.type not in _FAST_IN_HALF or not has_autocast(device):
        return None
    return torch.get_autocast_dtype(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which what is computed on ``device`` has the dtype of the weights."""
    return torch.autocast(device.type, enabled=False) if has_autocast(device) else nullcontext()
