"""Planted sub-tasks in many settings: the schedule, and modules read off a free training.

``python -m benchmarks.accuracy.partition.grid`` goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.partition.planted import capacities_of
from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules._files import write_json
from pyg_modules.datasets import PlantedProblem, planted_problem
from pyg_modules.experiment.versions import versions
from pyg_modules.partition import agreement
from pyg_modules.structure import SparseSchedule
from pyg_modules.train import Probe, fit, seeded

RESULTS = Path(__file__).with_name("grid.json")
# The schedule was not chosen on these. The limit of the verdict was, after a look at gelu.
SEEDS = range(200, 210)
#: How the names of settings end in which a tenth of the edges is left.
FEW = ", a tenth of the edges"


@dataclass(frozen=True)
class Setting:
    """A planted problem, a network and its training; half as many epochs follow the cut."""

    kind: str = "parity-majority"
    num_tasks: int = 4
    sizes: tuple[int, ...] | None = None
    hidden_capacities: tuple[int, ...] | None = None
    activation: str = "relu"
    num_hidden: int = 64
    steps: int = 3
    num_train: int = 6000
    epochs: int = 100
    optimizer: str = "AdamW"
    learning_rate: float = 2e-3
    weight_decay: float = 0.3
    batch_size: int = 100
    #: Which part of the edges is left in the end.
    density: float = 1.0


def _settings() -> dict[str, Setting]:
    settings, sparse = {}, {}
    # What a free network of six tasks needs to learn them.
    sixfold: dict[str, Any] = {"num_tasks": 6, "num_hidden": 96, "num_train": 18000}
    for num_tasks, epochs, kind, activation in product(
        (4, 6),
        (100, 300),
        ("parity-majority", "linear-threshold", "product"),
        ("relu", "gelu", "tanh"),
    ):
        more = sixfold if num_tasks == 6 else {}
        setting = Setting(kind=kind, activation=activation, epochs=epochs, **more)
        name = f"{kind} {activation} {epochs}"
        settings[f"{name} M={num_tasks}"] = setting
        if num_tasks == 4:
            sparse[f"{name}{FEW}"] = replace(setting, density=0.1)
    sizes = 1, 2, 3, 4
    settings |= {
        "SGD": Setting(epochs=200, optimizer="SGD", learning_rate=0.1, weight_decay=1e-3),
        "AdamW 1e-2": Setting(epochs=200, learning_rate=1e-2, weight_decay=0.06),
        **{f"{units} units": Setting(epochs=200, num_hidden=units) for units in (48, 96, 192)},
        "sizes": Setting(epochs=200, sizes=sizes, num_hidden=120),
        "sizes, capacities": Setting(
            epochs=200, sizes=sizes, num_hidden=120, hidden_capacities=(12, 24, 36, 48)
        ),
        "no weight decay": Setting(epochs=200, weight_decay=0.0),
    }
    return settings | sparse


SETTINGS = _settings()


def main(arguments: list[str] | None = None) -> None:
    """Measure what the file lacks; every result is written when it is there."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.partition.grid", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="short and not written: does it run?")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    if options.quick:
        print(compare(options.only[0], options.seeds[0], epochs=4))
        return
    results: dict[str, Any] = {"runs": []}
    if options.out.exists():
        results = json.loads(options.out.read_text(encoding="utf-8"))
    results["versions"] = versions()
    results["settings"] = {name: asdict(setting) for name, setting in SETTINGS.items()}
    known = {(one["setting"], one["seed"]) for one in results["runs"]}
    jobs = [job for job in product(options.only, options.seeds) if job not in known]
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(compare, *job) for job in jobs]):
            print(json.dumps(future.result()), flush=True)
            results["runs"].append(future.result())
            results["runs"].sort(key=_place)
            write_json(options.out, results)


def _place(one: dict[str, Any]) -> tuple[int, int]:
    return list(SETTINGS).index(one["setting"]), one["seed"]


def compare(name: str, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """One setting and seed, with the schedule and without."""
    setting = SETTINGS[name]
    problem = planted_problem(
        setting.num_tasks,
        setting.kind,
        sizes=setting.sizes,
        num_train=setting.num_train,
        seed=seed,
    )
    return {
        "setting": name,
        "seed": seed,
        "schedule": _train(problem, setting, seed, epochs or setting.epochs, scheduled=True),
        "post_hoc": _train(problem, setting, seed, epochs or setting.epochs, scheduled=False),
    }


def _train(
    problem: PlantedProblem, setting: Setting, seed: int, epochs: int, *, scheduled: bool
) -> dict[str, Any]:
    layer = _new_layer(problem, setting, seed)
    capacities = capacities_of(problem, setting.hidden_capacities)
    start = process_time()
    verdict, schedules = None, []
    if setting.density < 1:
        left = round(setting.density * layer.graph.num_edges)
        schedules.append(SparseSchedule(layer, epochs, num_edges=left, seed=seed))
    if scheduled:
        regularizer = PartitionRegularizer(
            layer,
            setting.num_tasks,
            scope="all",
            capacities=capacities,
            generator=torch.Generator().manual_seed(seed),
        )
        schedule = PartitionSchedule(regularizer, epochs, seed=seed)
        _fit(layer, problem, setting, epochs, seed, [*schedules, schedule])
        verdict = schedule.verdict()
        labels = verdict.labels
    else:
        _fit(layer, problem, setting, epochs, seed, schedules)
        labels = partition_units(
            layer,
            setting.num_tasks,
            scope="all",
            capacities=capacities,
            tolerance=0.1,
            seed=seed,
        )
    seconds_until_cut = process_time() - start
    modular = cut(layer, labels)
    scores = {"uncut": _score(problem, layer), "cut": _score(problem, modular)}
    _fit(modular, problem, setting, epochs // 2, seed, [])
    seconds = process_time() - start
    scores["final"] = _score(problem, modular)
    ari = agreement(labels, problem.owners(setting.num_hidden))["ari"]
    row: dict[str, Any] = {
        "ari": ari,
        **scores,
        "seconds_until_cut": seconds_until_cut,
        "seconds": seconds,
    }
    if verdict is not None:
        row |= {"word": verdict.word, "verdict": verdict.figures()}
    return row


def _fit(
    layer: SynchronousGraph,
    problem: PlantedProblem,
    setting: Setting,
    epochs: int,
    seed: int,
    schedules: list[Any],
) -> None:
    if setting.optimizer == "SGD":
        _fit_by_sgd(layer, problem, setting, epochs, seed, *schedules)
        return
    fit(
        layer,
        problem,
        epochs=epochs,
        seed=seed,
        schedule=schedules,
        loss=problem.loss,
        one_cycle=False,
        learning_rate=setting.learning_rate,
        weight_decay=setting.weight_decay,
        batch_size=setting.batch_size,
    )


def _fit_by_sgd(
    layer: SynchronousGraph,
    problem: PlantedProblem,
    setting: Setting,
    epochs: int,
    seed: int,
    schedule: PartitionSchedule | None = None,
) -> None:
    """A loop as users write it."""
    x, y = problem.train_x, problem.train_y
    groups = [{"params": layer.parameters(), "weight_decay": setting.weight_decay}]
    if schedule is not None:
        groups.append({"params": schedule.parameters(), "weight_decay": 0.0})
        schedule.probe = Probe(
            layer,
            (x, y),
            steps=max(5, epochs * len(x) // setting.batch_size // 100),
            loss=problem.loss,
        )
    optimizer = torch.optim.SGD(groups, lr=setting.learning_rate, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        if schedule is not None:
            schedule.step(epoch)
        rows_of_batches: Any = torch.randperm(len(x), generator=generator)
        for rows in rows_of_batches.split(setting.batch_size):
            loss = problem.loss(layer(x[rows]), y[rows])
            if schedule is not None:
                loss = loss + schedule.regularizer()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _new_layer(problem: PlantedProblem, setting: Setting, seed: int) -> SynchronousGraph:
    graph = UnitGraph.complete(problem.num_inputs, setting.num_hidden, problem.num_outputs)
    with seeded(seed):
        return SynchronousGraph(graph, Unrolled(setting.steps), setting.activation)


def _score(problem: PlantedProblem, layer: SynchronousGraph) -> float:
    with torch.no_grad():
        outputs: Tensor = layer(problem.test_x)
    return problem.score(outputs, problem.test_y)


if __name__ == "__main__":
    main()
