"""Timing of alternatives against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run, ``rounds`` times, all runs in turn after one round to warm up.

    What slows the machine down for a while then slows all of them. Every round begins with another
    one, so that none profits from what the one before it left in the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for round_ in range(rounds + 1):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = _seconds(runs[name])
            if round_:
                seconds[name].append(elapsed)
    return seconds


def ratio(seconds: Mapping[str, list[float]], of: str, to: str) -> float:
    """The median over the rounds of the time of one run over that of another."""
    pairs = zip(seconds[of], seconds[to], strict=True)
    return median(first / second for first, second in pairs)


def _seconds(run: Callable[[], object]) -> float:
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
