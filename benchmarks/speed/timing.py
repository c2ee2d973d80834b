"""Timing of alternatives against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run, ``rounds`` times, all runs in turn.

    What slows the machine down for a while then slows all of them. Each is timed right after
    itself, as in a training, so that none pays for what another one left in the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            seconds[name].append(_seconds(run))
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
