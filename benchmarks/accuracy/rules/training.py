"""One training of one network on a mixture of rules."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time
from typing import Any

import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.kinds import (
    KINDS,
    UPDATES,
    Owners,
    epochs_of,
    new_layer,
    options_of,
    train,
)
from benchmarks.accuracy.rules.specialization import activity
from benchmarks.accuracy.rules.tasks import NUM_FEATURES, NUM_RULES, TASKS, mixture
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, split
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import fit, seeded

#: The rows: all with as many parameters, and as many steps. Hidden units have no true modules.
MODELS = {
    "whole": KINDS["whole"],
    "routed": "a network per rule, told which",
    **{name: KINDS[name] for name in ("learned", "post_hoc", "random")},
}
OWNERS = Owners(torch.full((NUM_FEATURES + NUM_RULES,), -1), torch.tensor([-1]), NUM_RULES)
NUM_HIDDEN = 48


class Routed(nn.Module):
    """A network for every rule, all of equal size.

    Args:
        size (int): Parameters at most.
        seed (int): Of their weights.
    """

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        width = 1
        while NUM_RULES * _size(width + 1) <= size:
            width += 1
        graph = UnitGraph.complete(NUM_FEATURES, width, 1)
        with seeded(seed):
            self.parts = nn.ModuleList(
                SynchronousGraph(graph, Unrolled(UPDATES)) for _ in range(NUM_RULES)
            )

    def forward(self, x: Tensor) -> Tensor:
        """From features and rules, ``[B, I]``, to the answer of the rule, ``[B, 1]``."""
        features, rules = x.tensor_split([NUM_FEATURES], dim=1)
        return (rules * _answers(self.parts, features)).sum(dim=1, keepdim=True)


def run(task_name: str, name: str, way: int, rate: float, seed: int, steps: int) -> dict[str, Any]:
    """The score of one training, and how modules share the rules."""
    task, begin = mixture(TASKS[task_name], seed), process_time()
    epochs = epochs_of(steps, len(task.train_x))
    options = {**options_of(way, rate, seed), "loss": F.mse_loss}
    is_whole = name in ("whole", "routed")
    network: Any = new_layer(OWNERS, NUM_HIDDEN, seed, is_whole=is_whole)
    found: dict[str, Any] = {}
    if name == "routed":
        network = Routed(num_parameters(network), seed)
        fit(network, (task.train_x, task.train_y), epochs=epochs, **options)
    else:
        data = task.train_x, task.train_y
        network, found = train(name, network, data, OWNERS, epochs, options)
    with torch.no_grad():
        score = float(r2_score(task.test_y.numpy(), network(task.test_x).numpy()))
        if not is_whole:
            answers = _answers(split(network), task.test_x)
            found["shares"] = activity(answers, task.rule).tolist()
    return {
        "val": score,
        "test": score,
        **found,
        "num_parameters": num_parameters(network),
        "seconds": process_time() - begin,
    }


def _answers(parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> Tensor:
    """Of every part, ``[B, K]``."""
    return torch.cat([part(x) for part in parts], dim=1)


def _size(width: int) -> int:
    """Parameters of a complete graph with one output."""
    return width * (NUM_FEATURES + width + 2) + 1
