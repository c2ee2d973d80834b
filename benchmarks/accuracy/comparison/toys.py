"""Two spirals and the parity of ten bits: how many parameters does it take to learn them?

Where depth is needed, and a unit graph has it without further parameters. The complete unit graphs
of a few sizes are the budgets; an MLP of any depth has the largest width within the budget. Both
kinds of networks have as many trials at every size; the best by one seed are repeated with others,
and the best of these, of all sizes within a budget, has its score from seeds that had no part in
the choice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from math import pi
from statistics import mean
from typing import Any, NamedTuple

import numpy
import torch
from sklearn.model_selection import ParameterGrid
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.comparison.networks import layered, size_of_complete
from benchmarks.accuracy.parallel import run_all
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import DivergedError, fit, seeded

NUM_HIDDEN = (2, 3, 4, 5, 6)
EPOCHS, BATCH_SIZE, NUM_BITS, NUM_POINTS, TURNS = 250, 250, 10, 1000, 2
#: Hidden levels of an MLP, updates of a unit graph.
_DEPTHS = {"mlp": (1, 2, 3, 4), "units": (2, 4, 8, 16)}
_SHARED = {"activation": ("relu", "gelu", "tanh"), "learning_rate": (0.02, 0.1)}
_NUM_BEST, _SEEDS = 3, range(5)
FRESH_SEEDS = range(10, 30)


class Toy(NamedTuple):
    """Inputs, ``[B, I]``, and targets, 0 or 1, ``[B, 1]``.

    Args:
        train_x (Tensor): Training inputs.
        train_y (Tensor): Their targets.
        validation (tuple of Tensor): Inputs and targets that choose the best trial.
        test (tuple of Tensor): Inputs and targets of the score.
    """

    train_x: Tensor
    train_y: Tensor
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def spirals(seed: int) -> Toy:
    """Points on two spirals, about equally dense along them; all parts are drawn afresh."""
    random = numpy.random.default_rng(seed)

    def part(count: int) -> tuple[Tensor, Tensor]:
        arm = random.integers(2, size=(count, 1))
        radius = numpy.sqrt(random.random((count, 1)))
        angle = 2 * pi * TURNS * radius + pi * arm
        points = 2 * radius * numpy.concatenate([numpy.cos(angle), numpy.sin(angle)], axis=1)
        return torch.from_numpy(points).float(), torch.from_numpy(arm).float()

    return Toy(*part(NUM_POINTS), part(NUM_POINTS), part(2 * NUM_POINTS))


def parity(_seed: int) -> Toy:
    """All strings of ten bits, everywhere: what can be learned, not what generalizes."""
    x = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * NUM_BITS)
    y = (x.prod(dim=1, keepdim=True) > 0).float()
    return Toy(x, y, (x, y), (x, y))


TOYS = {"spirals": spirals, "parity": parity}
_NUM_INPUTS = {"spirals": 2, "parity": NUM_BITS}


def run(*, quick: bool) -> dict[str, Any]:
    """Both tasks: for every budget and kind the best trial, and all trials."""
    sizes: Sequence[int] = NUM_HIDDEN[:1] if quick else NUM_HIDDEN
    epochs = 2 if quick else EPOCHS
    cells = [Cell(toy, kind, size) for toy in TOYS for kind in _DEPTHS for size in sizes]
    jobs = [(cell, trial, _SEEDS[0], epochs) for cell in cells for trial in trials(cell.kind)]
    runs = _runs(jobs, quick=quick)
    more = [
        (cell, trial, seed, epochs)
        for cell in cells
        for trial in _best_of_first_seed(cell, runs)
        for seed in _SEEDS[1:]
    ]
    for key, again in _runs(more, quick=quick).items():
        runs[key] += again
    best = {cell: _best_within(cell, runs) for cell in cells}
    scored = [(*key, seed, epochs) for key in dict.fromkeys(best.values()) for seed in FRESH_SEEDS]
    scores = _runs(scored, quick=quick)
    return {
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "turns": TURNS,
        "tasks": {
            toy: {
                kind: [
                    _result(cell, best[cell], runs, scores)
                    for cell in cells
                    if cell[:2] == (toy, kind)
                ]
                for kind in _DEPTHS
            }
            for toy in TOYS
        },
    }


def trials(kind: str) -> list[Trial]:
    """As many for both kinds of networks."""
    return [Trial(**point) for point in ParameterGrid(_SHARED | {"depth": _DEPTHS[kind]})]


class Trial(NamedTuple):
    """What is searched.

    Args:
        activation (str): Of the hidden units.
        learning_rate (float): The largest of the one-cycle schedule.
        depth (int): Hidden levels of an MLP, updates of a unit graph.
    """

    activation: str
    learning_rate: float
    depth: int


class Cell(NamedTuple):
    """What the best trial is searched for.

    Args:
        toy (str): The task.
        kind (str): The kind of network.
        num_hidden (int): Hidden units of the complete unit graph whose parameters are the budget.
    """

    toy: str
    kind: str
    num_hidden: int

    @property
    def budget(self) -> int:
        """The largest number of parameters."""
        return size_of_complete(_NUM_INPUTS[self.toy], self.num_hidden, 1)


def train(cell: Cell, trial: Trial, seed: int, epochs: int) -> dict[str, Any]:
    """The scores of one run, and what it took."""
    data = TOYS[cell.toy](seed)
    start = time.process_time()
    with seeded(seed):
        network = _network(cell, trial)
        # It then scores as it was left.
        with suppress(DivergedError):
            fit(
                network,
                data,
                epochs=epochs,
                seed=seed,
                loss=F.binary_cross_entropy_with_logits,
                learning_rate=trial.learning_rate,
                weight_decay=0.0,
                batch_size=BATCH_SIZE,
            )
    return {
        "seed": seed,
        "validation_score": _accuracy(network, *data.validation),
        "score": _accuracy(network, *data.test),
        "num_parameters": num_parameters(network),
        "seconds": time.process_time() - start,
    }


_Key = tuple[Cell, Trial]
_Runs = dict[_Key, list[dict[str, Any]]]


def _runs(jobs: list[tuple[Cell, Trial, int, int]], *, quick: bool) -> _Runs:
    runs: _Runs = {}
    for job, result in zip(jobs, run_all(train, jobs, quick=quick), strict=True):
        runs.setdefault(job[:2], []).append(result)
    return runs


def _best_of_first_seed(cell: Cell, runs: _Runs) -> list[Trial]:
    """The trials of a size that are repeated."""
    ranking = sorted(trials(cell.kind), key=lambda trial: -_validation(runs[cell, trial]))
    return ranking[:_NUM_BEST]


def _best_within(cell: Cell, runs: _Runs) -> _Key:
    """Of those that were repeated, at this size or a smaller one."""
    candidates = [
        key
        for key in runs
        if key[0][:2] == cell[:2]
        and key[0].num_hidden <= cell.num_hidden
        and len(runs[key]) == len(_SEEDS)
    ]
    return max(candidates, key=lambda key: _validation(runs[key]))


def _validation(results: list[dict[str, Any]]) -> float:
    return float(mean(result["validation_score"] for result in results))


def _result(cell: Cell, best: _Key, runs: _Runs, scores: _Runs) -> dict[str, Any]:
    return {
        "budget": cell.budget,
        "num_parameters": scores[best][0]["num_parameters"],
        "best": best[1]._asdict(),
        "runs": scores[best],
        "trials": [{**trial._asdict(), "runs": runs[cell, trial]} for trial in trials(cell.kind)],
    }


def _network(cell: Cell, trial: Trial) -> nn.Module:
    num_inputs = _NUM_INPUTS[cell.toy]
    if cell.kind == "units":
        graph = UnitGraph.complete(num_inputs, cell.num_hidden, 1)
        return SynchronousGraph(graph, Unrolled(trial.depth), trial.activation)
    size = cell.budget
    while True:
        mlp = layered(size, num_inputs, 1, trial.depth, trial.activation)
        if num_parameters(mlp) <= cell.budget:
            return mlp
        size -= 1


@torch.no_grad()
def _accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    return float(((network(x) > 0) == (y > 0.5)).double().mean())
