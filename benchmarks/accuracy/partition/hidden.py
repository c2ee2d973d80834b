"""Scope "hidden": does it help to look at the weights from inputs and to outputs, too?"""

from __future__ import annotations

from itertools import product
from statistics import mean
from typing import Any

import numpy
import torch
from torch import Tensor

from benchmarks.accuracy.parallel import run_all
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut, partition_units
from pyg_modules.datasets import PlantedProblem, load_dataset, planted_problem
from pyg_modules.partition.judge import shuffled
from pyg_modules.partition.search.refine import refined_labels, repair
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import Units
from pyg_modules.train import Probe, accuracy, fit, seeded

NAMES = ("digits, K = 4", "digits, K = 8", "parity-majority relu", "product tanh")
SEEDS = range(200, 205)
TOLERANCE = 0.1
NUM_HIDDEN = 64


def run(*, quick: bool) -> dict[str, Any]:
    """Every task, five seeds; ``quick``: one of each for two epochs."""
    jobs = list(product(NAMES[::2], SEEDS[:1], [2])) if quick else list(product(NAMES, SEEDS, [0]))
    runs = run_all(compare, jobs, quick=quick)
    summary = {
        name: {
            kind: {
                figure: mean(one[kind][figure] for one in runs if one["task"] == name)
                for figure in ("probed", "cut", "final")
            }
            for kind in ("hidden", "with ends", "random")
        }
        for name in dict.fromkeys(one["task"] for one in runs)
    }
    return {"runs": runs, "summary": summary}


def compare(name: str, seed: int, epochs: int) -> dict[str, Any]:
    """Scores right after the cut and after training on, and what a probe says, by the modules."""
    data: Any
    options: dict[str, Any] = {}
    loss: dict[str, Any] = {}
    if name.startswith("digits"):
        data = load_dataset("digits")
        sizes, num_modules = (data.num_features, NUM_HIDDEN, data.num_classes), int(name[-1])
        steps, activation, epochs = 4, "relu", epochs or 40
    else:
        kind, activation = name.split()
        data = planted_problem(4, kind, seed=seed)
        sizes, num_modules = (data.num_inputs, NUM_HIDDEN, data.num_outputs), 4
        steps, epochs = 3, epochs or 100
        loss = {"loss": data.loss}
        options = {
            "one_cycle": False,
            "learning_rate": 2e-3,
            "weight_decay": 0.3,
            "batch_size": 100,
        }

    def score(layer: SynchronousGraph) -> float:
        if isinstance(data, PlantedProblem):
            with torch.no_grad():
                return data.score(layer(data.test_x), data.test_y)
        return accuracy(layer, data.test_x, data.test_y)

    with seeded(seed):
        layer = SynchronousGraph(UnitGraph.complete(*sizes), Unrolled(steps), activation=activation)
    fit(layer, data, epochs=epochs, seed=seed, **options, **loss)
    probe = Probe(layer, data, steps=50, seed=seed, **loss)
    plain = partition_units(layer, num_modules, tolerance=TOLERANCE, seed=seed)
    labels = {
        "hidden": plain,
        "with ends": with_ends(layer, num_modules, seed),
        "random": shuffled(plain, numpy.zeros(NUM_HIDDEN, dtype=int), seed),
    }
    results: dict[str, dict[str, float]] = {}
    for found, partition in labels.items():
        modular = cut(layer, partition)
        at_once = score(modular)
        probed = probe(partition)
        fit(modular, data, epochs=epochs // 2, seed=seed, **options, **loss)
        results[found] = {"probed": probed, "cut": at_once, "final": score(modular)}
    return {"task": name, "seed": seed, "uncut": score(layer), **results}


def with_ends(layer: SynchronousGraph, num_modules: int, seed: int) -> Tensor:
    """Modules of the hidden units, of a search in which inputs and outputs join any."""
    graph = layer.graph
    hidden, everyone = Units(layer), Units(layer, scope="all")
    bounds = hidden.bounds(num_modules, TOLERANCE)
    num_classes = len(bounds.smallest)
    classes = numpy.full(graph.num_units, num_classes)
    classes[graph.hidden.start : graph.hidden.stop] = bounds.classes
    free = numpy.full((1, num_modules), graph.num_units - graph.num_hidden)
    loose = SizeBounds(
        numpy.vstack([bounds.smallest, numpy.zeros_like(free)]),
        numpy.vstack([bounds.largest, free]),
        classes,
    )
    affinity = everyone.affinity_matrix()
    found = repair(affinity, refined_labels(affinity, loose, seed=seed), loose).labels
    return torch.from_numpy(found).where(hidden.members, -1)
