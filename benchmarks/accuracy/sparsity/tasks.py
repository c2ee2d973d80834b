"""Data, the units that see it, and how many edges are left in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy import topology
from pyg_modules import UnitGraph
from pyg_modules.structure import TopologySearch, TopologyTrial


@dataclass(frozen=True)
class Task:
    """A data set, and what is trained on it.

    Args:
        data (str): Name of the data set.
        sizes (tuple of int): Numbers of inputs, hidden units and outputs.
        num_edges (int): Edges that are left in the end.
        epochs (int): Of a training.
        recipes (tuple of dict): What may be chosen: settings of ``fit``, and ``"noise"`` on the
            inputs.
        ways (tuple of str): Ways to the edges that are tried.
        steps (int): Number of updates.
        batch_size (int): Samples per step.
        front (Callable): Makes what comes before the units.
    """

    data: str
    sizes: tuple[int, int, int]
    num_edges: int
    epochs: int
    recipes: tuple[dict[str, float], ...]
    ways: tuple[str, ...]
    steps: int = 6
    batch_size: int = 128
    front: Callable[[], nn.Module] = nn.Identity

    @property
    def density(self) -> float:
        """The part of all edges that is left in the end."""
        return self.num_edges / UnitGraph.complete(*self.sizes).num_edges


def convolutions() -> nn.Module:
    """From an image of MNIST to 144 features."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


class Noisy(nn.Module):
    """Adds noise to the inputs in training."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        """The inputs."""
        return x + self.noise * torch.randn_like(x) if self.training else x


@cache
def searched(name: str) -> TopologyTrial:
    """The best topology on MNIST-1D of a search of ``benchmarks.accuracy.topology``."""
    searches = json.loads(topology.RESULTS.read_text(encoding="utf-8"))["searches"]
    return TopologySearch.from_dict(searches[name]).best


def _share(share: float, *sizes: int) -> int:
    return round(share * UnitGraph.complete(*sizes).num_edges)


_RATES = tuple({"learning_rate": rate} for rate in (1e-3, 3e-3, 1e-2))
_ALL = (
    "complete",
    "pruned, grown by gradient",
    "pruned, grown at random",
    "pruned, grown locally",
    "pruned",
    "pruned at once",
    "sparse, exchanged by gradient",
    "sparse, exchanged at random",
    "sparse, exchanged locally",
    "sparse",
    "RigL on an MLP",
)
_MNIST1D: dict[str, Any] = {
    "data": "mnist1d",
    "sizes": (40, searched("any").num_hidden, 10),
    "epochs": topology.Budget.epochs,
    "steps": searched("any").topology.num_updates,
    "batch_size": topology.BATCH_SIZE,
    # What was found for random graphs and for complete ones.
    "recipes": tuple(searched(name).settings for name in ("any", "complete")),
}
TASKS = {
    "MNIST-1D, a sixth": Task(
        **_MNIST1D,
        num_edges=searched("any").num_edges,
        ways=(
            "pruned, grown by gradient",
            "pruned",
            "sparse, exchanged by gradient",
            "sparse, exchanged at random",
            "sparse",
        ),
    ),
    "MNIST-1D, a twentieth": Task(
        **_MNIST1D,
        num_edges=_share(0.05, *_MNIST1D["sizes"]),
        ways=("complete", "pruned, grown by gradient", "pruned", "sparse, exchanged by gradient"),
    ),
    "optdigits, a tenth": Task(
        "optdigits", (64, 128, 10), _share(0.1, 64, 128, 10), 60, _RATES, _ALL
    ),
    "MNIST-10k, a tenth": Task(
        "mnist10k",
        (144, 128, 10),
        _share(0.1, 144, 128, 10),
        30,
        _RATES,
        _ALL,
        front=convolutions,
    ),
    "digits, a twentieth": Task(
        "digits", (64, 128, 10), _share(0.05, 64, 128, 10), 60, _RATES, _ALL
    ),
}
