"""One network, trained on one goal and then on both in turn."""

from __future__ import annotations

from statistics import mean
from time import process_time
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.additive.tasks import TASKS, Task
from benchmarks.accuracy.additive.training import NUM_HIDDEN
from benchmarks.accuracy.comparison.networks import cut_post_hoc
from benchmarks.accuracy.kinds import KINDS, epochs_of, new_layer, options_of, train
from pyg_modules import SynchronousGraph
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.partition import agreement
from pyg_modules.train import fit

#: Trained as long on the first goal alone.
FIXED = "fixed"
#: The rows: all with as many parameters, and as many steps.
MODELS = {"whole": KINDS["whole"], FIXED: "one network, the goal stays", **KINDS}
#: By name, the goals that take turns: an object on both sides, or on any, of the same patterns.
PROBLEMS = {
    f"retina, {number} samples": (
        TASKS[f"retina, and, {number} samples"],
        TASKS[f"retina, or, {number} samples"],
    )
    for number in (128, 192)
}
#: How often the goal changes.
NUM_CHANGES = 8
#: Steps after a change, and those after which it is looked at, of those for the first goal.
SHARE_OF_CHANGE, SHARE_SOON = 1 / 10, 1 / 150


def run(problem: str, name: str, way: int, rate: float, seed: int, steps: int) -> dict[str, Any]:
    """The scores before and after changes, and whether modules of the end are the two sides."""
    begin, goals = process_time(), [make(seed) for make in PROBLEMS[problem]]
    owners, options = goals[0].owners, {**options_of(way, rate, seed), "loss": goals[0].loss}
    num_samples = len(goals[0].train_x)
    kind = "whole" if name == FIXED else name
    layer = new_layer(owners, NUM_HIDDEN, seed, is_whole=kind == "whole")
    data = goals[0].train_x, goals[0].train_y
    layer, found = train(kind, layer, data, owners, epochs_of(steps, num_samples), options)
    found["first"] = _score(goals[0], layer)
    found["ari_first"] = _ari(layer, goals[0].owner, seed)
    soon, late = [], []
    epochs, first_epochs = (
        epochs_of(steps * share, num_samples) for share in (SHARE_OF_CHANGE, SHARE_SOON)
    )
    for change in range(1, NUM_CHANGES + 1):
        goal = goals[0 if name == FIXED else change % len(goals)]
        scores = _scores(goal, layer, epochs, options)
        soon.append(scores[first_epochs - 1])
        late.append(scores[-1])
    return {
        "val": mean(soon + late),
        "soon": mean(soon),
        "late": mean(late),
        **found,
        "ari": _ari(layer, goals[0].owner, seed),
        "num_parameters": num_parameters(layer),
        "seconds": process_time() - begin,
    }


def _scores(goal: Task, layer: SynchronousGraph, epochs: int, options: Any) -> list[float]:
    """After every epoch of training on a goal."""
    scores: list[float] = []
    fit(
        layer,
        (goal.train_x, goal.train_y),
        epochs=epochs,
        one_cycle=False,
        on_epoch=lambda *_: scores.append(_score(goal, layer)),
        **options,
    )
    return scores


@torch.no_grad()
def _score(goal: Task, layer: SynchronousGraph) -> float:
    return goal.score(layer(goal.test_x))


def _ari(layer: SynchronousGraph, owner: Tensor, seed: int) -> float:
    """Of the inputs, by the modules of a cut layer, or those that are read off another one."""
    labels = layer.labels
    if labels is None:
        labels = cut_post_hoc(layer, int(owner.max()) + 1, seed, "inputs").labels
        assert labels is not None
    return agreement(labels[: len(owner)], owner)["ari"]
