"""Layered networks of many levels on digits: what does the cut cost?"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

from torch import nn

from benchmarks.accuracy.journal import Journal
from benchmarks.accuracy.parallel import run_all
from pyg_modules import SynchronousGraph
from pyg_modules.datasets import load_dataset
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.train import organise, seeded

LEVELS, NUM_MODULES, SEEDS = range(1, 9), (2, 4), range(5)
# Before the cut and after it, each: networks of many levels are learned late, and the deepest ones
# need the most.
EPOCHS, MORE_EPOCHS, DEEPEST = (40, 80), (160,), range(7, 9)
WIDTH = 48


def run(journal: Journal | None, *, quick: bool) -> dict[str, Any]:
    """Every depth, number of modules and of epochs, five seeds; ``quick``: one, two epochs."""
    jobs = list(product(LEVELS, NUM_MODULES, SEEDS, EPOCHS))
    jobs += product(DEEPEST, NUM_MODULES, SEEDS, MORE_EPOCHS)
    if quick:
        jobs = [(4, 4, 0, 2)]
    return {"runs": run_all(train, jobs, quick=quick, journal=journal)}


def train(num_levels: int, num_modules: int, seed: int, epochs: int) -> dict[str, Any]:
    """An MLP as a unit graph, organised with the defaults; test accuracies in points."""
    digits = load_dataset("digits")
    sizes = [digits.num_features, *[WIDTH] * num_levels, digits.num_classes]
    with seeded(seed):
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.ReLU()]
        layer = SynchronousGraph.from_mlp(nn.Sequential(*parts[:-1]))
    # With one hidden level, no edge joins two hidden units.
    scope = "hidden" if num_levels > 1 else "all"
    organised = organise(
        layer,
        digits,
        num_modules,
        epochs=epochs,
        finetune_epochs=epochs,
        seed=seed,
        scope=scope,
        validation_data=(digits.test_x, digits.test_y),
    )
    liveliness = Liveliness.of(layer.graph, organised.labels, layer.solver.num_updates)
    accuracy = {when: 100 * share for when, share in organised.accuracy.items()}
    return {
        "levels": num_levels,
        "modules": num_modules,
        "seed": seed,
        "epochs": epochs,
        **accuracy,
        "dead": liveliness.num_dead,
        "verdict": organised.verdict.word,
    }
