"""One training of one network on one task."""

from __future__ import annotations

from time import process_time
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.additive.tasks import TASKS, Task
from benchmarks.accuracy.comparison.networks import cut_post_hoc
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.partition import agreement
from pyg_modules.train import fit, organise, seeded

#: The rows: all with as many parameters, and as many steps.
MODELS = {
    "whole": "one network",
    "true": "true modules, from the beginning",
    "learned": "learned modules",
    "post_hoc": "modules read off a free training",
    "random": "random modules, from the beginning",
}
NUM_HIDDEN, UPDATES, BATCH_SIZE = 32, 3, 32
#: Weight decays, by the way of a recipe.
DECAYS = (0.03, 0.3)


def run(task_name: str, name: str, way: int, rate: float, seed: int, steps: int) -> dict[str, Any]:
    """The score of one training, what modules it found, and what it took."""
    task, begin = TASKS[task_name](seed), process_time()
    epochs = max(2, round(steps * BATCH_SIZE / len(task.train_x)))
    options: Any = {
        "seed": seed,
        "loss": task.loss,
        "learning_rate": rate,
        "weight_decay": DECAYS[way],
        "batch_size": BATCH_SIZE,
    }
    layer: Any = _layer(task, seed, is_whole=name == "whole")
    data = task.train_x, task.train_y
    found: dict[str, Any] = {}
    num_modules, until = task.num_modules, epochs // 2
    if name in ("true", "random"):
        layer = cut(layer, _labels(task, layer.graph, seed, is_true=name == "true"))
        layer.reset_parameters(torch.Generator().manual_seed(seed))
    elif name == "learned":
        organised = organise(
            layer,
            data,
            num_modules,
            epochs=until,
            finetune_epochs=epochs - until,
            scope="inputs",
            **options,
        )
        layer, found["word"] = organised.layer, organised.verdict.word
    elif name == "post_hoc":
        fit(layer, data, epochs=until, **options)
        layer = cut_post_hoc(layer, num_modules, seed, "inputs")
    if name != "learned":
        fit(layer, data, epochs=epochs - until if name == "post_hoc" else epochs, **options)
    if layer.labels is not None:
        found["ari"] = agreement(layer.labels[: len(task.owner)], task.owner)["ari"]
    with torch.no_grad():
        score = task.score(layer(task.test_x))
    return {
        "val": score,
        "test": score,
        **found,
        "num_parameters": num_parameters(layer),
        "seconds": process_time() - begin,
    }


def _layer(task: Task, seed: int, *, is_whole: bool) -> SynchronousGraph:
    """Complete; what is cut has as many parameters then as the one that is not."""
    num_inputs, num_modules = len(task.owner), task.num_modules

    def size(num_hidden: float, parts: int) -> float:
        return num_hidden * (num_inputs / parts + num_hidden / parts + 2) + 1

    num_hidden = NUM_HIDDEN
    if not is_whole:
        while size(num_hidden + 1, num_modules) <= size(NUM_HIDDEN, 1):
            num_hidden += 1
    with seeded(seed):
        return SynchronousGraph(UnitGraph.complete(num_inputs, num_hidden, 1), Unrolled(UPDATES))


def _labels(task: Task, graph: UnitGraph, seed: int, *, is_true: bool) -> Tensor:
    """Hidden units in turn, and inputs where they belong or in a random order of that."""
    owner = task.owner
    if not is_true:
        owner = owner[torch.randperm(len(owner), generator=torch.Generator().manual_seed(seed))]
    of_hidden = torch.arange(graph.num_hidden) % task.num_modules
    return torch.cat([owner, of_hidden, torch.tensor([-1])])
