"""Speed of two revisions in one process: ``python -m benchmarks.speed.revisions --before REV``.

The package of ``REV`` is imported beside that of the working tree under another name, and both take
turns.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch

import pyg_modules
from benchmarks.speed.timing import interleaved, ratio
from benchmarks.speed.training_step import (
    BATCH,
    NUM_ENDS,
    QUICK,
    SETTINGS,
    make_layer,
    training_step,
)
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_suffix(".json")
NAME_BEFORE = "pyg_modules_before"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.revisions")
    parser.add_argument("--before", metavar="REV", required=True, help="the revision to compare to")
    parser.add_argument("--rounds", type=int, help="of every row (default: as in make bench)")
    parser.add_argument("--quick", action="store_true", help="a small size: does it run?")
    parser.add_argument("--out", type=Path, help=f"the JSON file (default: {RESULTS.name})")
    options = parser.parse_args(arguments)
    path = options.out or (None if options.quick else RESULTS)
    rounds: dict[tuple[int, float], int] = {}
    for setting in QUICK if options.quick else SETTINGS:
        # A graph that several groups of peers share is measured once, as often as with the first.
        graph = setting.num_hidden, setting.density
        rounds.setdefault(graph, options.rounds or setting.rounds)
    with tempfile.TemporaryDirectory() as folder:
        before = import_before(options.before, Path(folder))
        results = {
            "before": _git("rev-parse", options.before).decode().strip(),
            "after": _git("describe", "--always", "--dirty", "--abbrev=40").decode().strip(),
            "num_threads": torch.get_num_threads(),
            "versions": versions(),
            "rows": [_compare(*case, before, rounds[case]) for case in rounds],
        }
    if path is not None:
        write_json(path, results)


def import_before(revision: str, folder: Path) -> ModuleType:
    """The package as it was, under a name of its own, from files in ``folder``."""
    with tarfile.open(fileobj=BytesIO(_git("archive", revision, "pyg_modules"))) as archive:
        archive.extractall(folder, filter="data")
    package = (folder / "pyg_modules").rename(folder / NAME_BEFORE)
    for file in package.rglob("*.py"):
        # Also names of operators, which torch has once, and of files of the package.
        text = file.read_text(encoding="utf-8").replace("pyg_modules", NAME_BEFORE)
        file.write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    return importlib.import_module(NAME_BEFORE)


def _compare(num_hidden: int, density: float, before: ModuleType, rounds: int) -> dict[str, Any]:
    cpu = torch.device("cpu")
    packages = {"before": before, "after": pyg_modules}
    layers = {name: make_layer(num_hidden, density, cpu, it) for name, it in packages.items()}
    x = torch.randn(BATCH, NUM_ENDS, generator=torch.Generator().manual_seed(1))
    runs = {name: training_step(layer, x) for name, layer in layers.items()}
    torch.testing.assert_close(runs["before"](), runs["after"](), rtol=1e-3, atol=1e-4)
    seconds = interleaved(runs, rounds)
    row = {
        "num_hidden": num_hidden,
        "density": density,
        "rounds": rounds,
        "backend": {
            name: layer.backend_report(BATCH).choices["recurrence"].backend
            for name, layer in layers.items()
        },
        "milliseconds": {name: 1e3 * median(times) for name, times in seconds.items()},
        "ratio": ratio(seconds, "before", "after"),
    }
    _print(row)
    return row


def _print(row: Mapping[str, Any]) -> None:
    times = ", ".join(
        f"{name} {milliseconds:.2f} ms ({row['backend'][name]})"
        for name, milliseconds in row["milliseconds"].items()
    )
    print(f"{row['num_hidden']:>6} units {row['density']:>5.0%}  {times}, ratio {row['ratio']:.3f}")


def _git(*arguments: str) -> bytes:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if ran.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {ran.stderr.decode().strip()}")
    return ran.stdout


if __name__ == "__main__":
    main()
