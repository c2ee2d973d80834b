"""One network, trained on all tasks and then on each that changes."""

from __future__ import annotations

from statistics import mean
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.changing.tasks import PROBLEMS, Problem
from benchmarks.accuracy.circuits import circuit_shares
from benchmarks.accuracy.kinds import KINDS, epochs_of, new_layer, options_of, train
from pyg_modules import SynchronousGraph, merge, split
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import fit

#: Trained on all tasks after every change.
REPLAY = "replay"
#: What kinds are called that are only trained at first: their recipe is the best for that.
AT_FIRST = " at first"
#: The rows: all with as many parameters, and as many steps.
MODELS = {"whole": KINDS["whole"], REPLAY: "one network, all tasks again", **KINDS}
NUM_HIDDEN = 48
#: Steps after a change, of those in which all tasks were learned at first.
SHARE_OF_CHANGE = 1 / 3


def run(
    problem_name: str, name: str, way: int, rate: float, seed: int, steps: int
) -> dict[str, Any]:
    """What is known at first, learned and forgotten by the changes, and known in the end."""
    problem, begin = PROBLEMS[problem_name](seed), process_time()
    options = options_of(way, rate, seed)
    kind = "whole" if name == REPLAY else name.removesuffix(AT_FIRST)
    layer = new_layer(problem.owners, NUM_HIDDEN, seed, is_whole=kind == "whole")
    layer, found = train(
        kind,
        layer,
        problem.stages[0][:2],
        problem.owners,
        _epochs(problem, steps),
        {**options, "loss": problem.loss(problem.tasks)},
    )
    size, scores = num_parameters(layer), [_scores(problem, layer, 0)]
    if name.endswith(AT_FIRST):
        return {
            "val": mean(scores[0]),
            "first": mean(scores[0]),
            **found,
            "num_parameters": size,
            "seconds": process_time() - begin,
        }
    found["circuit"] = _circuit(problem, layer)
    for task in problem.tasks:
        tasks = list(problem.tasks) if name == REPLAY else [task]
        epochs = _epochs(problem, steps * SHARE_OF_CHANGE)
        layer = _adapted(layer, problem, task, epochs, {**options, "loss": problem.loss(tasks)})
        scores.append(_scores(problem, layer, task + 1))
    return {
        "val": mean(scores[-1]),
        "first": mean(scores[0]),
        "learned": mean(scores[task + 1][task] for task in problem.tasks),
        "forgotten": mean(
            scores[task][other] - scores[task + 1][other]
            for task in problem.tasks
            for other in problem.tasks
            if other != task
        ),
        "last": mean(scores[-1]),
        **found,
        "num_parameters": size,
        "seconds": process_time() - begin,
    }


def _adapted(
    layer: SynchronousGraph, problem: Problem, changed: int, epochs: int, options: Any
) -> SynchronousGraph:
    """Trained on after a change; of a cut layer, only the modules that answer what changed."""
    data = problem.stages[changed + 1][:2]
    if layer.labels is None:
        fit(layer, data, epochs=epochs, **options)
        return layer
    parts = split(layer)
    own: Any = layer.labels[layer.graph.outputs.start :][problem.owners.outputs == changed]
    fit(_Sum(parts[module] for module in own.unique().tolist()), data, epochs=epochs, **options)
    merged = merge(parts)
    assert isinstance(merged, SynchronousGraph)
    return merged


class _Sum(nn.ModuleList):
    """The sum of what its parts answer."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, I]`` to ``[B, O]``."""
        return torch.stack([part(x) for part in self]).sum(dim=0)


def _scores(problem: Problem, layer: SynchronousGraph, stage: int) -> list[float]:
    with torch.no_grad():
        return problem.scores(layer(problem.stages[stage].test_x), stage)


def _circuit(problem: Problem, layer: SynchronousGraph) -> float:
    """The share of hidden units that a task is solved by, the mean of all tasks."""
    x, y = problem.stages[0][2:]
    losses = [problem.loss([task]) for task in problem.tasks]
    shares = circuit_shares(
        layer, x, lambda outputs: torch.stack([loss(outputs, y) for loss in losses])
    )
    return float(shares.mean())


def _epochs(problem: Problem, steps: float) -> int:
    return epochs_of(steps, len(problem.stages[0].train_x))
