"""Two real tasks in one network: are the two modules theirs, and what does the cut cost?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from benchmarks.accuracy.parallel import run_all
from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules.datasets import load_dataset
from pyg_modules.partition import METHODS, agreement
from pyg_modules.train import fit, seeded

SEEDS = range(200, 210)
NAMES = ("digits and breast cancer", "digits and wine", "two mnist digits")
NUM_HIDDEN, EPOCHS = 64, 40


class Task(NamedTuple):
    """Inputs and classes of a half of a pair, with rows in an order of its own."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.train_y.max()) + 1


def run(data_root: str | None, *, quick: bool) -> list[dict[str, Any]]:
    """Every pair, ten seeds; ``quick``: one of what needs no data, two epochs."""
    names, seeds = (NAMES[1:2], SEEDS[:1]) if quick else (NAMES, SEEDS)
    epochs = 2 if quick else EPOCHS
    jobs = [(name, seed, epochs, data_root) for name in names for seed in seeds]
    return run_all(compare, jobs, quick=quick)


def compare(name: str, seed: int, epochs: int, data_root: str | None) -> dict[str, Any]:
    """Accuracy of both tasks after training on, in percent, by how the two modules were found."""
    pair = _pair(name, seed, data_root)
    num_inputs = [task.train_x.size(1) for task in pair]
    num_outputs = [task.num_classes for task in pair]
    of_inputs, of_outputs = _blocks(num_inputs), _blocks(num_outputs)
    true = torch.cat([of_inputs, _blocks([NUM_HIDDEN // 2] * 2), of_outputs])
    capacities = true.bincount().tolist()
    x, y = (torch.cat(parts, dim=1) for parts in _columns(pair, "train"))
    # Nothing says whose a hidden unit is, or a pixel that is always the same.
    known = true.clone()
    known[sum(num_inputs) : sum(num_inputs) + NUM_HIDDEN] = -1
    known[: sum(num_inputs)][x.std(dim=0) == 0] = -1
    test_x, test_y = (torch.cat(parts, dim=1) for parts in _columns(pair, "test"))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        first, second = outputs.tensor_split(num_outputs[:1], dim=1)
        return (F.cross_entropy(first, targets[:, 0]) + F.cross_entropy(second, targets[:, 1])) / 2

    def score(layer: SynchronousGraph) -> float:
        with torch.no_grad():
            logits = layer(test_x).tensor_split(num_outputs[:1], dim=1)
        found = torch.stack([part.argmax(dim=1) for part in logits], dim=1)
        return 100 * float((found == test_y).double().mean())

    def train(layer: SynchronousGraph, schedule: PartitionSchedule | None = None) -> None:
        fit(layer, (x, y), epochs=epochs, seed=seed, loss=loss, weight_decay=0.1, schedule=schedule)

    def new_layer() -> SynchronousGraph:
        graph = UnitGraph.complete(sum(num_inputs), NUM_HIDDEN, sum(num_outputs))
        with seeded(seed):
            return SynchronousGraph(graph, Unrolled(3))

    labels: dict[str, tuple[SynchronousGraph, Tensor]] = {}
    words = {}
    # How many modules, and of what sizes, is told or not.
    told: dict[str, Any] = {"num_modules": 2, "capacities": capacities}
    for kind, modules in {"schedule": told, "schedule, auto": {"num_modules": "auto"}}.items():
        layer = new_layer()
        generator = torch.Generator().manual_seed(seed)
        regularizer = PartitionRegularizer(layer, scope="all", generator=generator, **modules)
        schedule = PartitionSchedule(regularizer, epochs, seed=seed)
        train(layer, schedule)
        verdict = schedule.verdict()
        labels[kind], words[kind] = (layer, verdict.labels), verdict.word
    free = new_layer()
    train(free)
    for method in METHODS:
        found = partition_units(
            free,
            2,
            method=method,
            scope="all",
            capacities=capacities,
            tolerance=0.1,
            seed=seed,
        )
        labels[f"free, {method}"] = free, found
    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(seed))
    labels["free, random"] = free, true[order]
    labels["free, true"] = free, true
    results = {}
    for kind, (layer, partition) in labels.items():
        modular = cut(layer, partition)
        at_once = score(modular)
        train(modular)
        results[kind] = {
            "num_modules": int(partition.max()) + 1,
            "ari": agreement(partition, known)["ari"],
            "cut": at_once,
            "final": score(modular),
        }
    return {"pair": name, "seed": seed, "uncut": score(free), "words": words, "kinds": results}


def _blocks(sizes: list[int]) -> Tensor:
    """0 as often as the first says, then 1."""
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def _columns(pair: list[Task], part: str) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and targets of both tasks, ``[B, I]`` and ``[B, 1]`` each.

    In training, the shorter one repeats its samples; in the test, the longer one has some too many.
    """
    lengths = [len(getattr(task, f"{part}_y")) for task in pair]
    num_rows = max(lengths) if part == "train" else min(lengths)
    rows = [torch.arange(num_rows) % length for length in lengths]
    xs = [getattr(task, f"{part}_x")[chosen] for task, chosen in zip(pair, rows, strict=True)]
    ys = [getattr(task, f"{part}_y")[chosen, None] for task, chosen in zip(pair, rows, strict=True)]
    return xs, ys


def _pair(name: str, seed: int, data_root: str | None) -> list[Task]:
    generator = torch.Generator().manual_seed(seed)
    if name == "two mnist digits":
        images = load_dataset("mnist10k", data_root)
        return [_mnist(images, generator) for _ in range(2)]
    digits = load_dataset("digits")
    first = Task(digits.train_x, digits.train_y, digits.test_x, digits.test_y)
    source = load_breast_cancer if "breast" in name else load_wine
    return [_shuffled(first, generator), _shuffled(_table(source, seed), generator)]


def _mnist(images: Any, generator: torch.Generator) -> Task:
    """The images at half the resolution."""
    small = [
        F.avg_pool2d(x.unflatten(1, (1, 28, 28)), 2).flatten(1)
        for x in (images.train_x, images.test_x)
    ]
    return _shuffled(Task(small[0], images.train_y, small[1], images.test_y), generator)


def _table(load: Callable[..., Any], seed: int) -> Task:
    parts = train_test_split(*load(return_X_y=True), test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(parts[0])
    train_x, test_x = (torch.from_numpy(scaler.transform(part)).float() / 2 for part in parts[:2])
    train_y, test_y = (torch.from_numpy(part).long() for part in parts[2:])
    return Task(train_x, train_y, test_x, test_y)


def _shuffled(task: Task, generator: torch.Generator) -> Task:
    train = torch.randperm(len(task.train_x), generator=generator)
    test = torch.randperm(len(task.test_x), generator=generator)
    return Task(task.train_x[train], task.train_y[train], task.test_x[test], task.test_y[test])
