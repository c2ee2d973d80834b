"""One training, on cases of the sizes that are learned."""

from __future__ import annotations

from copy import deepcopy
from time import process_time
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.extrapolation.models import MODELS
from benchmarks.accuracy.extrapolation.tasks import TASKS, Task
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import seeded

BATCH, LOOK = 100, 25
VALIDATED, TESTED = 50, 200
#: Times the updates of a test; with twice as many it is seen whether an answer stays.
TIMES = (1, 2)


def run(
    task_name: str, name: str, way: int, rate: float, seed: int, batches: int
) -> dict[str, Any]:
    """Which part of the cases is solved after one training, and what that took."""
    task = TASKS[task_name]
    with seeded(seed):
        model = MODELS[name][way](task)
    begin = process_time()
    found = _train(model, task, rate, seed, batches)
    found["test"] = {
        str(size): _solved(model, task, size, _generator(seed, 2))
        for size in (task.sizes[-1], *task.larger)
    }
    return {**found, "num_parameters": num_parameters(model), "seconds": process_time() - begin}


def _train(model: nn.Module, task: Task, rate: float, seed: int, batches: int) -> dict[str, Any]:
    """On cases that grow as they are solved; it ends with the parameters that validate best.

    The size of a batch and its number of updates are random, and the first updates of every second
    batch have no gradient: what is learned is to go on from wherever one is, and to stay with the
    answer.
    """
    optimizer = torch.optim.Adam(model.parameters(), rate)
    # Rates that learn fast do not settle; so they end at 0.
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, batches)
    generator = _generator(seed, 0)
    validation = [task.make(VALIDATED, size, _generator(seed, 1)) for size in task.sizes]
    num_sizes, found, parameters = 2, {"val": -1.0}, {}
    for batch in range(1, batches + 1):
        size = task.sizes[_draw(0, num_sizes, generator)]
        most = task.updates(size)
        steps = _draw(most // 2 + 1, most + 1, generator)
        without = _draw(0, steps, generator) if batch % 2 == 0 else 0
        x, y = task.make(BATCH, size, generator)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x, steps, without), y)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if batch < batches and batch % LOOK:
            continue
        if num_sizes == len(task.sizes) or batch == batches:
            val = _agreement(model, task, *validation[-1])
            if val >= found["val"]:
                found = {"val": val, "batch": batch}
                parameters = deepcopy(model.state_dict())
        else:
            x, y = validation[num_sizes - 1]
            right = _are_right(model(x, task.updates(task.sizes[num_sizes - 1])), y)
            num_sizes = min(len(task.sizes), 2 * num_sizes) if right > 0.95 else num_sizes
    model.load_state_dict(parameters)
    return {**found, "learned": task.sizes[num_sizes - 1]}


@torch.no_grad()
def _agreement(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> float:
    """1 less the mean error of probabilities, by the number of updates with the larger one."""
    errors = [
        (model(x, times * task.updates(x.size(-1))).sigmoid() - y).abs().mean() for times in TIMES
    ]
    return float(1 - torch.stack(errors).nan_to_num(nan=1.0).max())


@torch.no_grad()
def _solved(model: nn.Module, task: Task, size: int, generator: Generator) -> list[float]:
    """The part of the cases of a size that is solved, by the numbers of updates."""
    x, y = task.make(TESTED, size, generator)
    return [_are_right(model(x, times * task.updates(size)), y) for times in TIMES]


def _are_right(outputs: Tensor, y: Tensor) -> float:
    """The part of the cases that are right at all places."""
    return float(((outputs > 0) == (y > 0)).flatten(1).all(dim=1).float().mean())


def _draw(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high, (), generator=generator))


def _generator(seed: int, purpose: int) -> Generator:
    """One for every seed and purpose."""
    return Generator().manual_seed(1_000_000 * purpose + seed)
