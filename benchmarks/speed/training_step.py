"""A training step of the layer against every other way to compute the same function."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import pyg_modules
from benchmarks.speed.peers import PEERS, is_installed
from benchmarks.speed.timing import interleaved, ratio
from pyg_modules import SynchronousGraph

STEPS, BATCH, NUM_ENDS = 8, 128, 16


class Setting(NamedTuple):
    """A graph, what it is compared with, and how often."""

    num_hidden: int
    density: float
    peers: tuple[str, ...]
    rounds: int
    batch: int = BATCH


SETTINGS = (
    Setting(256, 1.0, ("masked dense", "stepwise CSR"), 51),
    Setting(
        4096,
        0.01,
        ("masked dense", "stepwise CSR", "torch CSR", "torchsparsegradutils"),
        11,
    ),
    Setting(4096, 0.01, ("PyG scatter", "torch-scatter"), 5),
    Setting(
        4096,
        0.05,
        ("masked dense", "stepwise CSR", "torch CSR", "torchsparsegradutils"),
        7,
    ),
    Setting(4096, 0.05, ("PyG scatter", "torch-scatter"), 3),
    Setting(4096, 0.1, ("masked dense", "stepwise CSR"), 7),
)
_IN_HALF = ("masked dense, bfloat16", "ours, bfloat16")
_OF_CUDA = ("masked dense", "PyG scatter", "torch CSR", "torchsparsegradutils", *_IN_HALF)
ON_CUDA = (
    Setting(256, 1.0, _OF_CUDA, 51),
    Setting(4096, 0.01, _OF_CUDA, 21),
    Setting(4096, 0.01, _OF_CUDA, 21, 1024),
    Setting(4096, 0.05, _OF_CUDA, 21),
    Setting(4096, 0.05, _OF_CUDA, 11, 1024),
    Setting(16_384, 0.005, _OF_CUDA, 11),
)
QUICK = (Setting(64, 0.2, tuple(PEERS), 1),)


def run(device: torch.device, *, quick: bool) -> list[dict[str, Any]]:
    """One entry per setting and peer."""
    settings = ON_CUDA if device.type == "cuda" else SETTINGS
    return [row for setting in (QUICK if quick else settings) for row in _compare(setting, device)]


def make_layer(
    num_hidden: int, density: float, device: torch.device, package: Any = pyg_modules
) -> SynchronousGraph:
    """A layer with few inputs and outputs, so that the recurrent part is what is measured."""
    generator = torch.Generator().manual_seed(0)
    ends = (NUM_ENDS, num_hidden, NUM_ENDS)
    graph = package.UnitGraph.erdos_renyi(*ends, density, generator=generator)
    layer = package.SynchronousGraph(graph, package.Unrolled(STEPS), "tanh")
    layer.reset_parameters(generator)
    moved: SynchronousGraph = layer.to(device)
    return moved


def training_step(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Forward and backward, gradients of all parameters."""

    def step() -> Tensor:
        network.zero_grad(set_to_none=True)
        outputs: Tensor = network(x)
        outputs.sum().backward()  # type: ignore[no-untyped-call]
        return outputs

    return step


def _compare(setting: Setting, device: torch.device) -> list[dict[str, Any]]:
    layer = make_layer(setting.num_hidden, setting.density, device)
    x = torch.randn(setting.batch, NUM_ENDS, generator=torch.Generator().manual_seed(1)).to(device)
    runs = {"ours": training_step(layer, x)}
    rows: dict[str, dict[str, Any]] = {}
    for name in setting.peers:
        rows[name] = {
            "num_hidden": setting.num_hidden,
            "density": setting.density,
            "batch": setting.batch,
            "num_edges": layer.graph.num_edges,
            "backend": layer.backend_report(setting.batch).choices["recurrence"].backend,
            "peer": name,
            "is_installed": is_installed(PEERS[name]),
        }
        if is_installed(PEERS[name]):
            runs[name] = training_step(PEERS[name](layer), x)
    expected = runs["ours"]()
    for name, run in runs.items():
        rtol, atol = (0.1, 0.05) if name in _IN_HALF else (1e-3, 1e-4)
        torch.testing.assert_close(run(), expected, rtol=rtol, atol=atol)
    seconds = interleaved(runs, setting.rounds)
    for name in runs:
        if name != "ours":
            rows[name] |= {
                "rounds": setting.rounds,
                "milliseconds": 1e3 * median(seconds[name]),
                "our_milliseconds": 1e3 * median(seconds["ours"]),
                "ratio": ratio(seconds, name, "ours"),
            }
    return list(rows.values())
