"""Equilibria with the default settings against plain iteration, where that is fast and slow."""

from __future__ import annotations

from statistics import median
from typing import Any, NamedTuple

import torch

from benchmarks.speed.timing import interleaved, ratio
from benchmarks.speed.training_step import BATCH, NUM_ENDS, make_layer, training_step
from pyg_modules import Equilibrium, SynchronousGraph


class Setting(NamedTuple):
    """A graph, the contraction, and a mean of the weights, which makes plain iteration slow."""

    num_hidden: int
    density: float
    contraction: float
    mean: float
    rounds: int


# Weights are drawn within 1 over the root of the degree; a mean is in that unit.
SETTINGS = (
    Setting(256, 1.0, 0.9, 0.0, 25),
    Setting(4096, 0.01, 0.9, 0.0, 7),
    Setting(256, 1.0, 0.97, 1.0, 25),
    Setting(4096, 0.01, 0.97, 1.0, 7),
)
QUICK = (Setting(64, 0.2, 0.9, 0.0, 1),)


def run(device: torch.device, *, quick: bool) -> list[dict[str, Any]]:
    """One entry per setting."""
    return [_compare(setting, device) for setting in (QUICK if quick else SETTINGS)]


def _compare(setting: Setting, device: torch.device) -> dict[str, Any]:
    layer = make_layer(setting.num_hidden, setting.density, device)
    edges = layer._wiring().recurrent_edges
    with torch.no_grad():
        layer.weight[edges] += setting.mean * layer.weight[edges].abs().max()
        layer.weight[edges] *= 10  # The contraction decides how large they are.
        layer.bias.zero_()
    # Small states: where tanh is flat, everything converges fast.
    x = torch.randn(BATCH, NUM_ENDS, generator=torch.Generator().manual_seed(1)).to(device) / 100
    runs, steps = {}, {}
    for name, memory in (("plain", 0), ("default", Equilibrium.memory)):
        solver = Equilibrium(contraction=setting.contraction, memory=memory, throw=True)
        ours = SynchronousGraph(layer.graph, solver, layer.activation).to(device)
        ours.load_state_dict(layer.state_dict())
        solution = ours.solve(x)
        assert isinstance(solution.steps, torch.Tensor)
        steps[name] = int(solution.steps.max())
        runs[name] = training_step(ours, x)
    seconds = interleaved(runs, setting.rounds)
    return {
        **setting._asdict(),
        "milliseconds": {name: 1e3 * median(times) for name, times in seconds.items()},
        "steps": steps,
        "ratio": ratio(seconds, "plain", "default"),
    }
