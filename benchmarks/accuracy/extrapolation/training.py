"""One training, on cases of the sizes that are learned."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from time import process_time
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.extrapolation.models import GROWING, MODELS
from benchmarks.accuracy.extrapolation.tasks import TASKS, Task
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import seeded

BATCH, LOOK = 100, 25
#: The standard deviation of what is added to the numbers of a case in training.
NOISE = 0.1
VALIDATED, TESTED = 50, 200
#: Times the updates of a test; with twice as many it is seen whether an answer stays.
TIMES = (1, 2)


def run(
    task_name: str, name: str, way: int, rate: float, seed: int, batches: int
) -> dict[str, Any]:
    """Which part of the cases is solved after one training, and what that took."""
    task, begin = TASKS[task_name], process_time()
    make, grows = partial(MODELS[name][way], task), task.grows and name in GROWING
    model, found = _train(make, task, rate, seed, batches, grows=grows)
    found["test"] = {
        str(size): _share_right(model, task, *task.make(TESTED, size, _generator(seed, 2)))
        for size in (task.sizes[-1], *task.larger)
    }
    # Agreements that differ by less than a thousandth are equal; then fewer starts are better.
    found["val"] = round(found["agreement"], 3) - (found["starts"] - 1) / 1000
    return {**found, "num_parameters": num_parameters(model), "seconds": process_time() - begin}


def _train(
    make: Callable[[], nn.Module], task: Task, rate: float, seed: int, batches: int, *, grows: bool
) -> tuple[nn.Module, dict[str, Any]]:
    """On cases that grow as they are solved; it ends with the parameters that validate best.

    The size of a batch and its number of updates are random, and the first updates of every second
    batch have no gradient: what is learned is to go on from wherever one is, and to stay with the
    answer. Numbers have noise, so that what is a little off has to come back. Whoever does not
    come to larger cases for long starts again with other parameters, and with what is left of the
    batches. Without ``grows`` all sizes are there from the beginning.
    """
    model, optimizer = _start(make, rate, seed)
    generator = _generator(seed, 0)
    validation = [_noisy(task, VALIDATED, size, _generator(seed, 1)) for size in task.sizes]
    smallest = 2 if grows else len(task.sizes)
    num_sizes, since, starts, found, parameters = smallest, 0, 1, {"agreement": -1.0}, {}
    for batch in range(1, batches + 1):
        has_all = num_sizes == len(task.sizes)
        if has_all:  # Rates that learn fast do not settle; so they end at 0.
            optimizer.param_groups[0]["lr"] = rate * (batches - batch + 1) / (batches - since)
        size = task.sizes[_draw(0, num_sizes, generator)]
        most = task.updates(size)
        steps = _draw(most // 2 + 1, most + 1, generator)
        without = _draw(0, steps, generator) if batch % 2 == 0 else 0
        x, y = _noisy(task, BATCH, size, generator)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x, steps, without), y)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if batch < batches and batch % LOOK:
            continue
        if has_all or batch == batches:
            agreement = _agreement(model, task, *validation[-1])
            if agreement >= found["agreement"]:
                found = {"agreement": agreement, "batch": batch}
                parameters = deepcopy(model.state_dict())
        elif _share_right(model, task, *validation[num_sizes - 1])[0] > 0.95:
            num_sizes, since = min(len(task.sizes), 2 * num_sizes), batch
        elif batch - since >= task.patience:
            model, optimizer = _start(make, rate, seed + 1_000 * starts)
            num_sizes, since, starts = smallest, batch, starts + 1
    model.load_state_dict(parameters)
    return model, {**found, "learned": task.sizes[num_sizes - 1], "starts": starts}


def _start(
    make: Callable[[], nn.Module], rate: float, seed: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    with seeded(seed):
        model = make()
    return model, torch.optim.Adam(model.parameters(), rate)


def _noisy(task: Task, number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Cases whose numbers are a little off."""
    x, y = task.make(number, size, generator)
    return x + NOISE * torch.randn(x.shape, generator=generator), y


@torch.no_grad()
def _agreement(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> float:
    """1 less the mean error of probabilities, by the number of updates with the larger one."""
    errors = [
        (model(x, times * task.updates(x.size(-1))).sigmoid() - y).abs().mean() for times in TIMES
    ]
    return float(1 - torch.stack(errors).nan_to_num(nan=1.0).max())


@torch.no_grad()
def _share_right(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> list[float]:
    """The part of the cases that are right at all places, by the numbers of updates."""
    outputs = (model(x, times * task.updates(x.size(-1))) for times in TIMES)
    return [float(((one > 0) == (y > 0)).flatten(1).all(dim=1).float().mean()) for one in outputs]


def _draw(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high, (), generator=generator))


def _generator(seed: int, purpose: int) -> Generator:
    """One for every seed and purpose."""
    return Generator().manual_seed(1_000_000 * purpose + seed)
