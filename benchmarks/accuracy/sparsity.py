"""Digits with a twentieth of the edges: ``python -m benchmarks.accuracy.sparsity``.

A complete graph of 128 hidden units against 5 % of its edges: pruned and grown from the complete
graph or from a random sparse one, only pruned, and random ones that stay. All are trained by one
recipe, the defaults of ``fit``; none was chosen on the test data.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.accuracy.parallel import run_all
from benchmarks.markdown import table
from pyg_modules import SynchronousGraph, UnitGraph
from pyg_modules._files import write_json
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.versions import versions
from pyg_modules.structure import SparseSchedule
from pyg_modules.train import accuracy, fit, seeded

RESULTS = Path(__file__).with_suffix(".json")
NUM_HIDDEN, DENSITY = 128, 0.05
#: Whether the graph is sparse at first, and the settings of the schedule; none is a static graph.
WAYS: dict[str, tuple[bool, dict[str, Any] | None]] = {
    "complete": (False, None),
    "pruned, grown by gradient": (False, {"grow": "gradient"}),
    "pruned, grown at random": (False, {"grow": "random"}),
    "pruned, grown locally": (False, {"grow": "local"}),
    "pruned": (False, {"grow": None}),
    "sparse, exchanged by gradient": (True, {"grow": "gradient"}),
    "sparse, exchanged at random": (True, {"grow": "random"}),
    "sparse, exchanged locally": (True, {"grow": "local"}),
    "sparse": (True, None),
}


def run(way: str, seed: int, epochs: int) -> dict[str, Any]:
    """Accuracies and the loss of one training."""
    data = load_dataset("digits")
    sizes = data.num_features, NUM_HIDDEN, data.num_classes
    whole = UnitGraph.complete(*sizes)
    num_edges = round(DENSITY * whole.num_edges)
    is_sparse, settings = WAYS[way]
    with seeded(seed):
        graph = UnitGraph.erdos_renyi(*sizes, DENSITY, repair=True) if is_sparse else whole
        layer = SynchronousGraph(graph)
    schedule = None
    if settings is not None:
        schedule = SparseSchedule(layer, epochs, num_edges=num_edges, seed=seed, **settings)
    start = process_time()
    fit(layer, data, epochs=epochs, seed=seed, schedule=schedule)
    seconds = process_time() - start
    with torch.no_grad():
        loss = float(F.cross_entropy(layer(data.train_x), data.train_y))
    return {
        "num_edges": layer.graph.num_edges,
        "training_loss": loss,
        "test_accuracy": accuracy(layer, data.test_x, data.test_y),
        "seconds": seconds,
    }


def sparsity(path: Path = RESULTS) -> str:
    """A row per way."""
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    rows = []
    for way in WAYS:
        found = [one for one in runs if one["way"] == way]
        values = [100 * one["test_accuracy"] for one in found]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        edges = round(mean(one["num_edges"] for one in found))
        loss, seconds = (mean(one[name] for one in found) for name in ("training_loss", "seconds"))
        rows.append([way, f"{edges:,}", f"**{mean(values):.2f}**{spread}", f"{loss:.4f}"])
        rows[-1].append(f"{seconds:.0f}")
    num_seeds = len({one["seed"] for one in runs})
    header = [f"digits, {num_seeds} seeds", "edges", "test accuracy, %", "training loss", "CPU s"]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.sparsity")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    settings = itertools.product(range(options.seeds), WAYS)
    jobs = [(way, seed, options.epochs) for seed, way in settings]
    results = run_all(run, jobs, quick=options.seeds == 1)
    runs = [
        dict(zip(("way", "seed", "epochs"), job, strict=True)) | result
        for job, result in zip(jobs, results, strict=True)
    ]
    write_json(options.out, {"runs": runs, "versions": versions()})
    print(sparsity(options.out))


if __name__ == "__main__":
    main()
