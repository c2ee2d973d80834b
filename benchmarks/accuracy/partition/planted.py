"""Planted sub-tasks: are they recovered, and does the cut network still solve them?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.accuracy.parallel import run_all
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import PlantedProblem, planted_problem
from pyg_modules.partition import agreement
from pyg_modules.train import organise, seeded


@dataclass(frozen=True)
class Setting:
    """A planted problem and how a network is trained on it."""

    num_tasks: int = 4
    sizes: tuple[int, ...] | None = None
    hidden_capacities: tuple[int, ...] | None = None
    num_train: int = 6000
    num_hidden: int = 64
    steps: int = 3
    epochs: int = 300
    learning_rate: float = 2e-3
    weight_decay: float = 0.3
    batch_size: int = 100


SETTINGS = {
    "planted_4": Setting(),
    "planted_8": Setting(
        num_tasks=8,
        num_train=20000,
        num_hidden=256,
        steps=2,
        epochs=400,
        learning_rate=1e-3,
        batch_size=50,
    ),
    "planted_unequal": Setting(
        sizes=(1, 1, 2, 4), hidden_capacities=(16, 16, 32, 64), num_hidden=128
    ),
}
SEEDS = tuple(range(10))


def run(name: str, *, quick: bool) -> dict[str, Any]:
    """A setting, ten seeds; ``quick``: two epochs of one seed."""
    seeds, epochs = (SEEDS[:1], 2) if quick else (SEEDS, None)
    runs = run_all(train, [(name, seed, epochs) for seed in seeds], quick=quick)
    return {"setting": asdict(SETTINGS[name]), "runs": runs}


def train(name: str, seed: int, epochs: int | None) -> dict[str, Any]:
    """One network, with the defaults of the regularizer and of the schedule."""
    setting = SETTINGS[name]
    problem = planted_problem(
        setting.num_tasks, sizes=setting.sizes, num_train=setting.num_train, seed=seed
    )
    layer = new_layer(problem, setting, seed)
    organised = organise(
        layer,
        problem,
        setting.num_tasks,
        epochs=epochs or setting.epochs,
        finetune_epochs=0,
        seed=seed,
        scope="all",
        capacities=capacities_of(problem, setting.hidden_capacities),
        loss=problem.loss,
        one_cycle=False,
        learning_rate=setting.learning_rate,
        weight_decay=setting.weight_decay,
        batch_size=setting.batch_size,
    )
    owners = problem.owners(setting.num_hidden)
    with torch.no_grad():
        uncut = problem.score(layer(problem.test_x), problem.test_y)
        after = problem.score(organised.layer(problem.test_x), problem.test_y)
    return {
        "seed": seed,
        "ari": agreement(organised.labels, owners)["ari"],
        "uncut": uncut,
        "cut": after,
        "normalized_cut": organised.normalized_cut,
        "module_sizes": organised.module_sizes,
    }


def new_layer(problem: PlantedProblem, setting: Setting, seed: int) -> SynchronousGraph:
    """The complete unit graph that is trained on ``problem``."""
    graph = UnitGraph.complete(problem.num_inputs, setting.num_hidden, problem.num_outputs)
    with seeded(seed):
        return SynchronousGraph(graph, Unrolled(setting.steps))


def capacities_of(problem: PlantedProblem, hidden: tuple[int, ...] | None) -> list[int] | None:
    """Hidden units as the setting says, the inputs of the sub-task and its output."""
    if hidden is None:
        return None
    num_uninformative = int((problem.input_owner < 0).sum()) // problem.num_outputs
    return [
        num_hidden + int((problem.input_owner == task).sum()) + num_uninformative + 1
        for task, num_hidden in enumerate(hidden)
    ]
