"""What a user waits for at first, in new processes: ``python -m benchmarks.speed.first_use``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

RESULTS = Path(__file__).with_suffix(".json")
_ROUNDS = 5

# The example of docs/guides/report.md, with a training of the layer before it.
_REPORT = """
import torch
from pyg_modules import SynchronousGraph, UnitGraph, partition_units
from pyg_modules.report import report
from pyg_modules.train import fit

layer = SynchronousGraph(UnitGraph.complete(num_inputs=4, num_hidden=16, num_outputs=2))
x, y = torch.rand(200, 4), torch.randint(2, (200,))
fit(layer, (x, y), epochs=5, seed=0)
report(layer, x, y, labels=partition_units(layer, 2), out="report.html")
"""
# What is waited for: the arguments of Python, and the seconds that were asked.
WAITS: dict[str, tuple[Sequence[str], float]] = {
    "`pyg-modules --help`": (("-m", "pyg_modules", "--help"), 1.5),
    "`import`, a layer of your own, five epochs, its report": (("-c", _REPORT), 15),
}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds by the clock, until the process has ended."""
    waits = {}
    for name, (arguments, asked) in WAITS.items():
        seconds = []
        for _ in range(rounds):
            with TemporaryDirectory() as folder:
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, *arguments], cwd=folder, check=True, capture_output=True
                )
                seconds.append(time.perf_counter() - start)
        waits[name] = {"seconds": seconds, "asked": asked}
    return waits


def first_use(path: Path = RESULTS) -> str:
    """A row for everything that is waited for."""
    waits = json.loads(path.read_text(encoding="utf-8"))["waits"]
    rows = [
        [
            name,
            f"{median(wait['seconds']):.1f}",
            f"{max(wait['seconds']):.1f}",
            f"< {wait['asked']:g}",
        ]
        for name, wait in waits.items()
    ]
    rounds = {len(wait["seconds"]) for wait in waits.values()}
    header = ["seconds in a new process", f"median of {max(rounds)}", "slowest", "asked"]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.first_use")
    options = parse(parser, arguments, RESULTS, quick="once")
    waits = measure(1 if options.quick else _ROUNDS)
    write_json(options.out, {"versions": versions(), "waits": waits})
    print(first_use(options.out))


if __name__ == "__main__":
    main()
