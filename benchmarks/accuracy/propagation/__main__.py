"""Far away on graphs: ``python -m benchmarks.accuracy.propagation``.

Chains, trees and rings, where a node has to know what is many edges away. Of every kind of network
the same number of recipes is tried, each once, on a seed of its own; the best by validation is then
trained on the others. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.propagation.models import MODELS, recipes
from benchmarks.accuracy.propagation.tasks import TASKS, Task
from benchmarks.accuracy.recipes import mean_and_spread, measure
from benchmarks.markdown import table
from pyg_modules.train import seeded

RESULTS = Path(__file__).with_name("propagation.json")
LOOK, PATIENCE = 10, 10


def run(task_name: str, name: str, way: int, rate: float, seed: int, epochs: int) -> dict[str, Any]:
    """The accuracies of one training, and what it took."""
    task = TASKS[task_name](seed)
    with seeded(seed):
        model = MODELS[name][way](task)
        begin = process_time()
        found = _train(model, task, rate, epochs)
    count = sum(parameter.numel() for parameter in model.parameters())
    return {**found, "num_parameters": count, "seconds": process_time() - begin}


def _train(model: nn.Module, task: Task, rate: float, epochs: int) -> dict[str, Any]:
    """By full batches; it ends when the nodes to choose by are right, or no more of them get so."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    best: dict[str, Any] = {"val": -1.0}
    for epoch in range(1, epochs + 1):
        model.train()
        optimizer.zero_grad()
        outputs = model(task.x, task.edge_index)
        loss = F.cross_entropy(outputs[task.train], task.y[task.train])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if epoch % LOOK == 0:
            scores = _scores(model, task)
            if scores["val"] > best["val"]:
                best = {**scores, "epoch": epoch}
            if best["val"] == 1 or epoch - best["epoch"] >= LOOK * PATIENCE:
                break
    return best


@torch.no_grad()
def _scores(model: nn.Module, task: Task) -> dict[str, float]:
    right = model.eval()(task.x, task.edge_index).argmax(dim=1) == task.y
    return {part: float(right[getattr(task, part)].float().mean()) for part in ("val", "test")}


def propagation(path: Path = RESULTS) -> str:
    """A row per kind of network, a column per task."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tasks = [task for task in TASKS if any(cell["task"] == task for cell in cells)]
    rows = []
    for name in MODELS:
        row = [name]
        for task in tasks:
            values = [
                100 * one["test"]
                for cell in cells
                if (cell["task"], cell["model"]) == (task, name)
                for one in cell["runs"]
            ]
            row.append(mean_and_spread(values))
        rows.append(row)
    return table(["test accuracy, %", *tasks], rows)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.propagation")
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS, help="the tasks")
    parser.add_argument("--epochs", type=int, default=500, help="at most; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one recipe, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    measure(
        run,
        {(task, name): recipes(name) for task in options.only for name in MODELS},
        options.epochs,
        options.out,
        quick=options.quick,
    )
    print(propagation(options.out))


if __name__ == "__main__":
    main()
