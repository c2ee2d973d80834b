from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw its random numbers from ``seed`` inside; after, go on as if nothing was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
