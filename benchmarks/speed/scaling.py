"""How the time of a training step grows with edges, batch and number of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.speed.timing import interleaved
from benchmarks.speed.training_step import NUM_ENDS, make_layer, training_step
from pyg_modules import Unrolled

_NUM_HIDDEN = 4096


def run(device: torch.device, *, quick: bool) -> dict[str, dict[str, Any]]:
    """For each quantity: its values, seconds, and the exponent fitted to their logarithms."""
    size, rounds = (256, 1) if quick else (_NUM_HIDDEN, 5)
    edges = (10**3, 10**4) if quick else (10**4, 10**5, 10**6, 10**7)
    batches = (8, 16) if quick else (16, 64, 256, 1024)
    steps = (2, 4) if quick else (2, 4, 8, 16, 32)
    # Few samples where there are many edges, and the reverse.
    return {
        "edges": _curve(edges, lambda number: _step(size, number / size**2, 16, 4, device), rounds),
        "batch": _curve(batches, lambda number: _step(size, 0.01, number, 4, device), rounds),
        "steps": _curve(steps, lambda number: _step(size, 0.01, 64, number, device), rounds),
    }


def _step(
    num_hidden: int, density: float, batch: int, steps: int, device: torch.device
) -> Callable[[], object]:
    layer = make_layer(num_hidden, density, device)
    layer.solver = Unrolled(steps)
    return training_step(layer, torch.rand(batch, NUM_ENDS, device=device))


def _curve(
    values: Iterable[int], make_run: Callable[[int], Callable[[], object]], rounds: int
) -> dict[str, Any]:
    seconds = interleaved({str(value): make_run(value) for value in values}, rounds)
    medians = [median(seconds[str(value)]) for value in values]
    exponent = np.polyfit(np.log(list(values)), np.log(medians), 1)[0]
    return {"values": list(values), "seconds": medians, "exponent": float(exponent)}
