"""Layered networks of many levels on digits: what does the cut cost?"""

from __future__ import annotations

from itertools import pairwise, product
from statistics import mean
from typing import Any

from torch import nn

from benchmarks.accuracy.parallel import run_all
from pyg_modules import SynchronousGraph
from pyg_modules.datasets import load_dataset
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.train import organise, seeded

LEVELS, NUM_MODULES, SEEDS = range(1, 9), (2, 4), range(5)
WIDTH = 48


def run(*, quick: bool) -> dict[str, Any]:
    """Every depth and number of modules, five seeds; ``quick``: four levels, two epochs."""
    jobs = list(product(LEVELS, NUM_MODULES, SEEDS))
    if quick:
        jobs = [(4, 4, 0)]
    runs = run_all(train, [(*job, 2 if quick else 40) for job in jobs], quick=quick)
    summary = {}
    for num_levels, num_modules in product(LEVELS, NUM_MODULES):
        own = [one for one in runs if (one["levels"], one["modules"]) == (num_levels, num_modules)]
        if own:
            summary[f"{num_levels} levels, K = {num_modules}"] = {
                "cut costs": mean(one["uncut"] - one["cut"] for one in own),
                "in the end": mean(one["uncut"] - one["finetuned"] for one in own),
                "dead": sum(one["dead"] for one in own),
            }
    return {"runs": runs, "summary": summary}


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
        **accuracy,
        "dead": liveliness.num_dead,
        "verdict": organised.verdict.word,
    }
