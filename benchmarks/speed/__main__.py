"""All speed figures, side by side: ``python -m benchmarks.speed`` or ``make bench``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import (
    acceleration,
    calibrate,
    equilibrium,
    limits,
    memory,
    modules,
    ranks,
    scaling,
    training_step,
)
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

FOLDER = Path(__file__).parent
PARTS: dict[str, Callable[..., Any]] = {
    "training_step": training_step.run,
    "equilibrium": equilibrium.run,
    "acceleration": acceleration.run,
    "scaling": scaling.run,
    "limits": limits.run,
    "memory": memory.run,
    "modules": modules.run,
    "ranks": ranks.run,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: does it run?")
    parser.add_argument("--calibrate", action="store_true", help="write the cost model of 'auto'")
    parser.add_argument("--out", type=Path, help="the JSON file (default: beside this program)")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="measure these parts, keep the others in the file"
    )
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if options.calibrate:
        calibrate.write(device, calibrate.calibrate(device))
        return
    quick = options.quick
    path = options.out or (None if quick else FOLDER / f"{device.type}.json")
    results: dict[str, Any] = {}
    if options.only and path is not None and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    results |= {
        "device": _describe(device),
        "num_threads": torch.get_num_threads(),
        "versions": versions(),
    }
    for name in options.only or PARTS:
        if device.type == "cpu" or name != "memory":
            results[name] = PARTS[name](device, quick=quick)
    if path is not None:
        write_json(path, results)
    _print(results)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "cpu"


def _print(results: dict[str, Any]) -> None:
    for row in results.get("training_step", []):
        batch = row.get("batch", training_step.BATCH)  # Older files have only that.
        name = f"{row['peer']:<22}{row['num_hidden']:>6} units {row['density']:>6.1%} x {batch:>5}"
        if not row["is_installed"]:
            print(f"{name}  missing")
            continue
        print(
            f"{name}  {row['milliseconds']:>10.2f} ms  ours ({row['backend']})"
            f" {row['our_milliseconds']:>8.2f} ms  ratio {row['ratio']:.2f}"
        )
    for name in list(PARTS)[1:]:
        if name in results:
            print(f"{name}: {results[name]}")


if __name__ == "__main__":
    main()
