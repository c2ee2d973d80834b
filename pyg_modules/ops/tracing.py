"""Who is looking at the computation: autograd alone, or a transformation of torch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.autograd import forward_ad


def is_compiling() -> bool:
    """Whether ``torch.compile`` or ``torch.export`` traces this call."""
    return torch.compiler.is_compiling()


def is_transforming() -> bool:
    """Whether a transformation of ``torch.func``, or forward-mode differentiation, runs this."""
    # The ones that torch.autograd.Function asks itself.
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def is_tracing() -> bool:
    """Whether anything other than autograd looks at this call."""
    return is_compiling() or is_transforming()


def has_autocast(device: torch.device) -> bool:
    """Whether autocast changes dtypes of what is computed on ``device``."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which what is computed on ``device`` has the dtype of the weights."""
    return torch.autocast(device.type, enabled=False) if has_autocast(device) else nullcontext()
