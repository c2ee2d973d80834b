"""Networks that take as many updates as they are told to, and two that need not be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.extrapolation.tasks import Task
from pyg_modules import SynchronousConv, SynchronousConv2d, UnitGraph, Unrolled
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver

RATES = (1e-2, 3e-3)

Build = Callable[[Task], nn.Module]


@dataclass(frozen=True)
class Truncated(Solver):
    """Updates of which the first have no gradient."""

    without: int
    steps: int

    def solve(self, recurrence: Recurrence) -> Solution:
        """See :meth:`Solver.solve`."""
        update, state = recurrence.bind(), torch.zeros_like(recurrence.injected)
        with torch.no_grad():
            for _ in range(self.without):
                state = update(state)
        for _ in range(self.steps):
            state = update(state)
        return Solution(state, self.without + self.steps)


class Synchronous(nn.Module):
    """A synchronous layer: on chains, where a place hears from the one before it, or on images."""

    def __init__(self, task: Task, num_hidden: int, **options: Any) -> None:
        super().__init__()
        graph = UnitGraph.complete(task.num_inputs, num_hidden, 1)
        self.layer: SynchronousConv | SynchronousConv2d
        if task.num_places == 1:
            self.layer = SynchronousConv(graph, normalize=False, **options)
        else:
            self.layer = SynchronousConv2d(graph, **options)

    def forward(self, x: Tensor, steps: int, without: int = 0) -> Tensor:
        """The logits of all places; the first updates may be without gradient."""
        self.layer.solver = Truncated(without, steps - without) if without else Unrolled(steps)
        outputs: Tensor
        if isinstance(self.layer, SynchronousConv2d):
            outputs = self.layer(x)
            return outputs
        place = torch.arange(x.size(2) - 1, device=x.device)
        outputs = self.layer(x.transpose(1, 2), torch.stack([place, place + 1]))
        return outputs.transpose(1, 2)


class ResidualTied(nn.Module):
    """One residual network again and again, which sees the case every time.

    With ``recall`` as in `End-to-end Algorithm Synthesis with Recurrent Networks
    <https://arxiv.org/abs/2202.05826>`_: a convolution of the state and the case, then a residual
    block of two convolutions; without, one convolution of both is added to the state. On chains a
    place hears from the one before it.
    """

    def __init__(self, task: Task, num_hidden: int, *, recall: bool) -> None:
        super().__init__()
        self.enter = _convolution(task, task.num_inputs, num_hidden)
        self.join = _convolution(task, num_hidden + task.num_inputs, num_hidden)
        self.block: nn.Module | None = None
        if recall:
            self.block = nn.Sequential(
                _convolution(task, num_hidden, num_hidden),
                nn.ReLU(),
                _convolution(task, num_hidden, num_hidden),
            )
        self.read = _convolution(task, num_hidden, 1)

    def forward(self, x: Tensor, steps: int, without: int = 0) -> Tensor:
        """The logits of all places; the first updates may be without gradient."""
        state = self.enter(x).relu()
        with torch.no_grad():
            for _ in range(without):
                state = self._next(state, x)
        for _ in range(steps - without):
            state = self._next(state, x)
        outputs: Tensor = self.read(state)
        return outputs

    def _next(self, state: Tensor, x: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([state, x], dim=1))
        beside: Tensor = state if self.block is None else self.block(joined)
        return (joined + beside).relu()


class Recurrent(nn.Module):
    """A GRU along the places; it has nothing to do with a number of updates."""

    def __init__(self, task: Task, num_hidden: int, num_levels: int) -> None:
        super().__init__()
        self.gru = nn.GRU(task.num_inputs, num_hidden, num_levels, batch_first=True)
        self.read = nn.Linear(num_hidden, 1)

    def forward(self, x: Tensor, steps: int, without: int = 0) -> Tensor:  # noqa: ARG002
        """The logits of all places."""
        outputs: Tensor = self.read(self.gru(x.transpose(1, 2))[0])
        return outputs.transpose(1, 2)


class FeedForward(nn.Module):
    """A residual stack of convolutions, each with weights of its own.

    They are dilated by 1, 2, 4 and so on, until an answer sees all of the largest case; or there
    are fewer and wider ones, without, which see less.
    """

    def __init__(self, task: Task, num_hidden: int, *, is_dilated: bool) -> None:
        super().__init__()
        largest = max(task.larger)
        num_levels = (largest - 1).bit_length() if is_dilated else 3
        self.enter = _convolution(task, task.num_inputs, num_hidden)
        self.levels = nn.ModuleList(
            _convolution(task, num_hidden, num_hidden, 2**level if is_dilated else 1)
            for level in range(num_levels)
        )
        self.read = _convolution(task, num_hidden, 1)

    def forward(self, x: Tensor, steps: int, without: int = 0) -> Tensor:  # noqa: ARG002
        """The logits of all places."""
        state = self.enter(x).relu()
        for level in self.levels:
            state = state + level(state).relu()
        outputs: Tensor = self.read(state)
        return outputs


def _convolution(task: Task, num_inputs: int, num_outputs: int, dilation: int = 1) -> nn.Module:
    if task.num_places == 1:
        return nn.Sequential(
            nn.ConstantPad1d((dilation, 0), 0.0),
            nn.Conv1d(num_inputs, num_outputs, 2, dilation=dilation),
        )
    return nn.Conv2d(num_inputs, num_outputs, 3, padding=dilation, dilation=dilation)


def _widest(make: Callable[[Task, int], nn.Module], task: Task) -> nn.Module:
    """The widest network that has no more parameters than it may have."""
    hidden = 1
    while num_parameters(make(task, hidden + 1)) <= task.max_parameters:
        hidden += 1
    return make(task, hidden)


def _ways(make: Any, *ways: dict[str, Any]) -> list[Build]:
    return [partial(_widest, partial(make, **way)) for way in ways]


#: By name, two ways to build a network for a task; each is tried with every rate.
MODELS: dict[str, list[Build]] = {
    "synchronous": _ways(Synchronous, {}, {"update_rate": 0.5}),
    "residual, tied": _ways(ResidualTied, {"recall": True}, {"recall": False}),
    "GRU": _ways(Recurrent, {"num_levels": 1}, {"num_levels": 2}),
    "feed-forward": _ways(FeedForward, {"is_dilated": True}, {"is_dilated": False}),
}
#: Those that take as many updates as they are told to.
REPEATING = ("synchronous", "residual, tied")
#: What has solved small cases goes on with larger ones. A stack of levels, each of which sees
#: farther than the one before, has nothing to go on with; it is worse if it begins with small ones.
GROWING = (*REPEATING, "GRU")


def kinds(task: Task) -> list[str]:
    """The kinds of network that there are for a task: a GRU knows chains alone."""
    return [name for name in MODELS if name != "GRU" or task.num_places == 1]


def recipes(name: str) -> list[tuple[int, float]]:
    """The ways to build a kind and the rates to train it with, which are tried."""
    return list(product(range(len(MODELS[name])), RATES))
