"""Time and memory of large graphs: ``python -m benchmarks.speed.generators``.

Every graph in a process of its own, whose peak memory counts, with the libraries in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from math import pi
from pathlib import Path
from typing import Any

import torch

from benchmarks.markdown import table
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions
from pyg_modules.structure import rewire

RESULTS = Path(__file__).with_suffix(".json")
_ENDS = 10


def _large(num_hidden: int, rand: torch.Generator) -> dict[str, Callable[[], UnitGraph]]:
    """Graphs with about ten edges per unit."""
    sizes, seeded = (_ENDS, num_hidden, _ENDS), dict[str, Any](generator=rand)
    per_unit = 10 / num_hidden
    levels = [_ENDS, *[num_hidden // 4] * 4, _ENDS]
    within, between = 50 * per_unit, per_unit / 2  # Of a hundred modules.

    def wired(kind: str) -> Callable[[], UnitGraph]:
        return lambda: UnitGraph.random_wired(*sizes, kind, 20, **seeded)

    return {
        "erdos_renyi": lambda: UnitGraph.erdos_renyi(*sizes, per_unit, **seeded),
        "erdos_renyi, repaired": lambda: UnitGraph.erdos_renyi(
            *sizes, per_unit, repair=True, **seeded
        ),
        "fixed_in_degree": lambda: UnitGraph.fixed_in_degree(*sizes, 10, **seeded),
        "small_world": lambda: UnitGraph.small_world(*sizes, 10, 0.1, **seeded),
        "scale_free": lambda: UnitGraph.scale_free(*sizes, 10, **seeded),
        "modular": lambda: UnitGraph.modular(*sizes, 100, within, between, **seeded),
        "geometric": lambda: UnitGraph.geometric(*sizes, (per_unit / pi) ** 0.5, **seeded),
        "random_wired, erdos_renyi": wired("erdos_renyi"),
        "random_wired, scale_free": wired("scale_free"),
        "random_wired, small_world": wired("small_world"),
        "layered": lambda: UnitGraph.layered(levels, density=5 * per_unit, **seeded),
        "yoked": lambda: UnitGraph.yoked(levels, density=2.3 * per_unit, **seeded),
    }


def measure(name: str, num_hidden: int) -> dict[str, Any]:
    """Seconds and gigabytes of one graph, layer or rewiring."""
    rand = torch.Generator().manual_seed(0)
    if name == "smaller":
        num_hidden = num_hidden * 65_536 // 10**6
        result = _timed(
            lambda: UnitGraph.erdos_renyi(_ENDS, num_hidden, _ENDS, 0.0005, generator=rand)
        )
    elif name == "layer":
        graph = _large(num_hidden, rand)["erdos_renyi, repaired"]()
        result = _timed(lambda: _first_step(graph))
    elif name == "rewiring":
        result = _rewiring(num_hidden // 10, rand)
    else:
        result = _timed(_large(num_hidden, rand)[name])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"name": name, **result, "process_gigabytes": peak, "load": os.getloadavg()[0]}


def _timed(make: Callable[[], UnitGraph]) -> dict[str, Any]:
    start, busy = time.perf_counter(), time.process_time()
    graph = make()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    units = graph.num_units
    return {
        "num_units": units,
        "num_edges": graph.num_edges,
        "seconds": seconds,
        "cpu_seconds": busy,
    }


def _first_step(graph: UnitGraph) -> UnitGraph:
    layer = SynchronousGraph(graph, Unrolled(4), "tanh")
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.rand(16, _ENDS)).square().mean().backward()
    optimizer.step()
    return graph


def _rewiring(num_hidden: int, rand: torch.Generator) -> dict[str, Any]:
    """One edge in ten goes to another place; the graph is checked and prepared as well."""
    graph, other = (_large(num_hidden, rand)["erdos_renyi, repaired"]() for _ in range(2))
    layer = SynchronousGraph(graph, Unrolled(4), "tanh")
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.rand(16, _ENDS)).square().mean().backward()
    optimizer.step()
    kept = torch.randperm(graph.num_edges, generator=rand)[graph.num_edges // 10 :].sort().values
    come = torch.randperm(other.num_edges, generator=rand)[: graph.num_edges // 10]
    source, target = torch.cat([graph.edge_index[:, kept], other.edge_index[:, come]], dim=1)
    # In the order of generated edges: those from inputs first, those to outputs last.
    rank = (source >= _ENDS).long() + (target >= graph.outputs.start)
    rank, target, source = torch.unique(torch.stack([rank, target, source]), dim=1)
    edge_index = torch.stack([source, target])

    def make() -> UnitGraph:
        changed = UnitGraph(edge_index, graph.num_units, _ENDS, _ENDS)
        return rewire(layer, changed, optimizer=optimizer).graph

    return _timed(make)


_ASKED = {"smaller": "< 1 s", "layer": "< 30 s, < 8 GB", "rewiring": "< 0.3 s"}
_NAMES = {
    "smaller": "`erdos_renyi`",
    "layer": "a layer of `erdos_renyi, repaired`, and its first training step",
    "rewiring": "`rewire`: one edge in ten, with the state of Adam",
}


def generators() -> str:
    """A row per graph."""
    rows = [
        [
            _NAMES.get(row["name"], f"`{row['name']}`"),
            f"{row['num_units']:,}",
            f"{row['num_edges']:,}",
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['process_gigabytes']:.1f}",
            _ASKED.get(row["name"], "< 15 s, 2 GB"),
        ]
        for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    ]
    header = ["what is made", "units", "edges", "seconds", "of the CPU", "peak, GB", "asked"]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.generators")
    parser.add_argument("--num-hidden", type=int, default=10**6, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--only", help="measure this one in this process and print it")
    options = parser.parse_args(arguments)
    if options.only:
        print(json.dumps(measure(options.only, options.num_hidden)))
        return
    rows = []
    for name in ["smaller", *_large(1, torch.Generator()), "layer", "rewiring"]:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed.generators"]
        command += ["--only", name, "--num-hidden", str(options.num_hidden)]
        ran = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        rows.append(json.loads(ran.stdout))
        print(ran.stdout, end="", flush=True)
    write_json(
        options.out,
        {"rows": rows, "num_threads": torch.get_num_threads(), "versions": versions()},
    )


if __name__ == "__main__":
    main()
