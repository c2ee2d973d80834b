"""What ``torch.use_deterministic_algorithms`` asks of a computation."""

from __future__ import annotations

import warnings

import torch


def is_deterministic() -> bool:
    """Whether the same computation has to give the same bits each time."""
    return torch.are_deterministic_algorithms_enabled()


def alert_not_deterministic(operation: str, remedy: str) -> None:
    """Raise, or warn, as torch does for its own operations that may give other bits each time.

    Args:
        operation (str): What is not deterministic.
        remedy (str): What to do instead.

    Raises:
        RuntimeError: If ``torch.use_deterministic_algorithms(True)`` is set without ``warn_only``.
    """
    if not is_deterministic():
        return
    message = (
        f"{operation} does not have a deterministic implementation, but you set"
        f" 'torch.use_deterministic_algorithms(True)'. {remedy}"
    )
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(message)
    warnings.warn(message, UserWarning, stacklevel=2)
