"""Peak extra memory of one training step, each way of computing in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.peers import PEERS
from benchmarks.speed.training_step import BATCH, NUM_ENDS, make_layer, training_step
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled

_PAGE = resource.getpagesize()
_MILLION_BATCH, _MILLION_STEPS = 16, 4


def run(device: torch.device, *, quick: bool) -> dict[str, Any]:  # noqa: ARG001
    """Extra memory of the layer and of PyG's scatter, and one step of a network of 10^6 units."""
    num_hidden, density = (256, 0.05) if quick else (4096, 0.05)
    num_units, num_edges = (10_000, 100_000) if quick else (1_000_000, 10_000_000)
    ours, scatter = (
        _in_process("step", name, num_hidden, density) for name in ("ours", "PyG scatter")
    )
    return {
        "num_hidden": num_hidden,
        "density": density,
        "our_megabytes": ours["megabytes"],
        "scatter_megabytes": scatter["megabytes"],
        "ratio": scatter["megabytes"] / ours["megabytes"],
        "million": _in_process("million", num_units, num_edges),
    }


def _in_process(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed.memory"]
    finished = subprocess.run(
        [*command, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    result: dict[str, Any] = json.loads(finished.stdout)
    return result


def _step(name: str, num_hidden: int, density: float) -> dict[str, Any]:
    """Megabytes that the first training step adds at its peak."""
    device = torch.device("cpu")
    tiny = training_step(make_layer(8, 0.5, device), torch.rand(BATCH, NUM_ENDS))
    tiny()  # Loads libraries and compiled kernels.
    layer = make_layer(num_hidden, density, device)
    layer.backend_report(BATCH)
    layer._operators(layer.backend, BATCH)
    network = layer if name == "ours" else PEERS[name](layer)
    step = training_step(network, torch.rand(BATCH, NUM_ENDS))
    before = _reset_peak()
    step()
    return {"megabytes": (_peak() - before) / 2**20}


def _million(num_units: int, num_edges: int) -> dict[str, Any]:
    """Seconds and peak memory of the whole process for one training step of a large network."""
    generator = torch.Generator().manual_seed(0)
    num_ends = 100
    # More are drawn than needed, as some are drawn twice; no edge may enter an input.
    source = torch.randint(num_units - num_ends, (num_edges * 11 // 10,), generator=generator)
    target = torch.randint(num_ends, num_units, source.shape, generator=generator)
    keys = torch.unique(target * num_units + source)
    keys = keys[torch.randperm(keys.numel(), generator=generator)[:num_edges]]
    edge_index = torch.stack([keys % num_units, keys // num_units])
    graph = UnitGraph(edge_index, num_units, num_ends, num_ends)
    layer = SynchronousGraph(graph, Unrolled(_MILLION_STEPS), "tanh")
    step = training_step(layer, torch.rand(_MILLION_BATCH, num_ends))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {
        "num_units": num_units,
        "num_edges": graph.num_edges,
        "batch": _MILLION_BATCH,
        "steps": _MILLION_STEPS,
        "backend": layer.backend_report(_MILLION_BATCH).choices["recurrence"].backend,
        "first_seconds": seconds[0],
        "seconds": min(seconds[1:]),
        "process_gigabytes": _peak() / 2**30,
    }


def _reset_peak() -> int:
    """Bytes in memory now; the peak counts from here on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "step":
        result = _step(arguments[0], int(arguments[1]), float(arguments[2]))
    else:
        result = _million(*map(int, arguments))
    print(json.dumps(result))
