from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pyg_modules._checks import as_int


@contextmanager
def seeded(seed: int, device: torch.device | str | None = None) -> Iterator[None]:
    """Let torch draw its random numbers from ``seed`` inside; after, go on as if nothing was.

    Args:
        seed (int): The seed, from 0 to 2**63 - 1.
        device (torch.device, optional): The one that is used inside, beside the CPU; no other is
            touched. (default: all GPUs)
    """
    seed = as_int("seed", seed, smallest=0)
    if device is None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
        return
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
