"""Initial weights of sparse graphs: ``python -m benchmarks.accuracy.initialisation``.

Random graphs with cycles learn MNIST-1D from initial weights by several rules, on four fifths of
the training data; each rule has the learning rate that does best on the fifth that is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.parallel import run_all
from benchmarks.markdown import table
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.versions import versions
from pyg_modules.train import accuracy, fit

RESULTS = Path(__file__).with_suffix(".json")
NUM_HIDDEN, STEPS, WEIGHT_DECAY, BATCH = 128, 6, 0.1, 125
ACTIVATIONS, DENSITIES, LEARNING_RATES = ("relu", "tanh"), (0.05,), (3e-3, 1e-2)
#: The spectral radius of the weights among hidden units, where a rule gives one. "today" is uniform
#: up to 1 / sqrt(in-degree), biases too; the others are normal, with a standard deviation of the
#: gain of the activation / sqrt(in-degree), without biases.
RULES = {"today": None, "gain": None, "radius 0.9": 0.9, "radius 1.2": 1.2}


def draw(layer: SynchronousGraph, rule: str, generator: torch.Generator) -> None:
    """Draw the weights of ``layer`` by a rule."""
    if rule == "today":
        layer.reset_parameters(generator)
        return
    source, target = layer.graph.edge_index
    degree = torch.bincount(target, minlength=layer.graph.num_units)
    hidden = layer.graph.hidden
    is_hidden = target < hidden.stop
    # Outputs are sums.
    gain = torch.where(is_hidden, nn.init.calculate_gain(layer.activation), 1.0)  # type: ignore[arg-type]
    among = is_hidden & (source >= hidden.start)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight.normal_(generator=generator).mul_(gain * degree[target].rsqrt())
        radius = RULES[rule]
        if radius is not None:
            matrix = np.zeros((len(hidden), len(hidden)))
            local = (layer.graph.edge_index[:, among] - hidden.start).numpy()
            matrix[local[1], local[0]] = layer.weight[among].numpy()
            layer.weight[among] *= radius / float(np.abs(np.linalg.eigvals(matrix)).max())


def run(
    activation: str, density: float, rule: str, learning_rate: float, seed: int, epochs: int
) -> dict[str, Any]:
    """The accuracy and loss of one training on data that was left out."""
    rand = torch.Generator().manual_seed(seed)
    data = held_out(load_dataset("mnist1d"))
    sizes = data.num_features, NUM_HIDDEN, data.num_classes
    graph = UnitGraph.erdos_renyi(*sizes, density, generator=rand, repair=True)
    layer = SynchronousGraph(graph, Unrolled(STEPS), activation)
    draw(layer, rule, rand)
    fit(
        layer,
        data,
        epochs=epochs,
        seed=seed,
        learning_rate=learning_rate,
        weight_decay=WEIGHT_DECAY,
        batch_size=BATCH,
    )
    with torch.no_grad():
        loss = float(F.cross_entropy(layer(data.train_x), data.train_y))
    return {"accuracy": accuracy(layer, data.test_x, data.test_y), "training_loss": loss}


def initialisation(path: Path = RESULTS) -> str:
    """A row per activation and density, a column per rule, each at its best learning rate."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for one in json.loads(path.read_text(encoding="utf-8"))["runs"]:
        key = one["activation"], one["density"], one["rule"], one["learning_rate"]
        found.setdefault(key, []).append(100 * one["accuracy"])
    rows = []
    for activation, density in sorted({key[:2] for key in found}):
        cells = []
        for rule in RULES:
            of_rates = [found[activation, density, rule, rate] for rate in LEARNING_RATES]
            best = max(of_rates, key=mean)
            cells.append(f"{mean(best):.1f}" + (f" ± {stdev(best):.1f}" if best[1:] else ""))
        rows.append([f"{activation}, {density:.0%} of all edges", *cells])
    return table(["accuracy on what was left out, %", *RULES], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.initialisation")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    settings = itertools.product(
        ACTIVATIONS, DENSITIES, RULES, LEARNING_RATES, range(options.seeds)
    )
    jobs = [(*setting, options.epochs) for setting in settings]
    results = run_all(run, jobs, quick=options.seeds == 1)
    names = ("activation", "density", "rule", "learning_rate", "seed", "epochs")
    runs = [
        dict(zip(names, job, strict=True)) | result
        for job, result in zip(jobs, results, strict=True)
    ]
    write_json(options.out, {"runs": runs, "versions": versions()})
    print(initialisation(options.out))


if __name__ == "__main__":
    main()
