"""The networks of the tables, made to have about the same number of parameters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn

from pyg_modules import (
    Equilibrium,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules.experiment.baselines import random_balanced_labels
from pyg_modules.graph.edges import bipartite_edges
from pyg_modules.ops import ACTIVATIONS

# For so few units an update costs less than what would save one.
EQUILIBRIUM = Equilibrium(tol=1e-3, memory=0, contraction=0.95)


class Noise(nn.Module):
    """Gaussian noise on the inputs, in training alone."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape, with noise."""
        return x + self.scale * torch.randn_like(x) if self.training and self.scale else x

    def extra_repr(self) -> str:
        """The setting, for ``repr``."""
        return f"{self.scale:g}"


def size_of_complete(
    num_inputs: int, num_hidden: int, num_outputs: int, num_modules: int = 1
) -> int:
    """Parameters of a complete unit graph, after it is cut into equal modules."""
    ends = num_inputs + num_outputs + 1
    return num_hidden * ends + round(num_hidden**2 / num_modules) + num_outputs


def hidden_of_size(size: int, num_inputs: int, num_outputs: int, num_modules: int) -> int:
    """Hidden units of a complete unit graph that has ``size`` parameters when it is cut."""
    return _closest(
        lambda width: size_of_complete(num_inputs, width, num_outputs, num_modules), size
    )


def layered(
    size: int, num_inputs: int, num_outputs: int, depth: int, activation: str
) -> nn.Sequential:
    """An MLP of ``depth`` hidden levels of equal width."""

    def count(width: int) -> int:
        sizes = [num_inputs, *[width] * depth, num_outputs]
        return sum((before + 1) * after for before, after in pairwise(sizes))

    width = _closest(count, size)
    layers: list[nn.Module] = []
    for before, after in pairwise([num_inputs, *[width] * depth]):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation].module()]
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))


def dag(
    size: int, num_inputs: int, num_outputs: int, depth: int, activation: str
) -> SynchronousGraph:
    """Levels of equal width, each fed by all levels before it, as in a DenseNet."""

    def levels(width: int) -> list[range]:
        sizes = [num_inputs, *[width] * depth, num_outputs]
        return [range(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(len(sizes))]

    def count(width: int) -> int:
        edges = sum(len(lower) * len(upper) for lower, upper in combinations(levels(width), 2))
        return edges + width * depth + num_outputs

    parts = levels(_closest(count, size))
    edges = [bipartite_edges(lower, upper) for k, upper in enumerate(parts) for lower in parts[:k]]
    graph = UnitGraph(torch.cat(edges, dim=1), parts[-1].stop, num_inputs, num_outputs)
    return SynchronousGraph(graph, Unrolled(depth), activation)


def yoked(num_inputs: int, num_hidden: int, num_outputs: int, activation: str) -> SynchronousGraph:
    r"""The rule of 2306.02157, solved for :math:`n`.

    .. math::
        n_j = b_j + \sum_{k \ne j} f(n_k) w_{kj} + f(\hat{n}_j) w_{jj}

    Each unit is two here: one that is fed by the inputs, :math:`\hat{n}_j`, and feeds the other.
    """
    fed = range(num_inputs, num_inputs + num_hidden)
    units = range(fed.stop, fed.stop + num_hidden)
    outputs = range(units.stop, units.stop + num_outputs)
    among = bipartite_edges(units, units)
    edges = torch.cat(
        [
            bipartite_edges(range(num_inputs), fed),
            torch.stack([torch.arange(fed.start, fed.stop), torch.arange(units.start, units.stop)]),
            among[:, among[0] != among[1]],
            bipartite_edges(units, outputs),
        ],
        dim=1,
    )
    graph = UnitGraph(edges, outputs.stop, num_inputs, num_outputs)
    # Half of all pairs are edges: matrices with zeros are the fastest.
    return SynchronousGraph(graph, EQUILIBRIUM, activation, backend="dense")


def cut_at_random(layer: SynchronousGraph, num_modules: int) -> SynchronousGraph:
    """Modules of random units, not trained yet."""
    modular = cut(layer, random_balanced_labels(layer.graph, num_modules))
    modular.reset_parameters()
    return modular


def cut_post_hoc(
    layer: SynchronousGraph, num_modules: int, seed: int, scope: str = "hidden"
) -> SynchronousGraph:
    """Modules read off a layer that was trained without a regularizer; sizes as in `organise`."""
    return cut(layer, partition_units(layer, num_modules, scope=scope, tolerance=0.1, seed=seed))


def within_level(layer: SynchronousGraph) -> Tensor:
    """The weights among the second units of :func:`yoked`, which its penalties are on."""
    graph = layer.graph
    first = graph.num_inputs + graph.num_hidden // 2
    source, target = graph.edge_index
    return layer.weight[(source >= first) & (target < graph.outputs.start)]


def _closest(count: Callable[[int], int], size: int) -> int:
    """The width whose ``count``, which grows with it, is closest to ``size``."""
    width = 1
    while count(width + 1) <= size:
        width += 1
    return min((width, width + 1), key=lambda candidate: abs(count(candidate) - size))
