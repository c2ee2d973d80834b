"""Graphs, and what is asked of some of their nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from math import factorial

import torch
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """Graphs side by side, as one, and the nodes that are asked for their class.

    Args:
        x (Tensor): Features of the nodes, ``[V, I]``.
        edge_index (Tensor): The edges, ``[2, m]``.
        y (Tensor): Classes of all nodes, ``[V]``; those of others than the following are not used.
        train, val, test (Tensor): The nodes to learn from, to choose by and to measure on.
        reach (int): How many edges away lies what a node has to know.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    reach: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def chains(length: int, seed: int) -> Task:
    """Twenty chains of two classes each, of which the first node alone knows the class.

    From `Implicit Graph Neural Networks <https://arxiv.org/abs/2009.06211>`_, with its 100 features
    and its split: 5 % of the nodes to learn from, 10 % to choose by.
    """
    num_chains = 40
    num_nodes = num_chains * length
    first = torch.arange(num_chains) * length
    y = (torch.arange(num_nodes) // length) % 2
    x = torch.zeros(num_nodes, 100)
    x[first, y[first]] = 1
    node = torch.arange(num_nodes)
    node = node[node % length != length - 1]
    edge_index = torch.cat([torch.stack([node, node + 1]), torch.stack([node + 1, node])], dim=1)
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(seed))
    train, val, test = order.tensor_split([num_nodes // 20, 3 * num_nodes // 20])
    return Task(x, edge_index, y, train, val, test, reach=length - 1)


def trees(radius: int, seed: int) -> Task:
    """Binary trees whose root has the class of the leaf that shows the number of the root.

    From `On the Bottleneck of Graph Neural Networks <https://arxiv.org/abs/2006.05205>`_, where all
    that is asked is whether a network can learn the examples by heart: all roots are those to learn
    from, to choose by and to measure on; all that there are, or 1,000 of them.
    """
    num_leaves, most = 2**radius, 1000
    generator = torch.Generator().manual_seed(seed)
    if factorial(num_leaves) * num_leaves <= most:
        orders = torch.tensor(list(permutations(range(num_leaves))))
        orders = orders.repeat_interleave(num_leaves, dim=0)
        asked = torch.arange(num_leaves).repeat(len(orders) // num_leaves)
    else:
        orders = torch.rand(most, num_leaves, generator=generator).argsort(dim=1)
        asked = torch.randint(num_leaves, (most,), generator=generator)
    size = 2 * num_leaves - 1
    x = torch.zeros(len(orders), size, 2 * num_leaves)
    x[torch.arange(len(orders)), 0, asked] = 1
    leaf = torch.arange(num_leaves)
    x[:, size - num_leaves + leaf, leaf] = 1  # The number that a leaf shows,
    tree, place = torch.arange(len(orders)).unsqueeze(1), size - num_leaves + leaf
    x[tree, place, num_leaves + orders] = 1  # and its class.
    child = torch.arange(1, size)
    edges = torch.stack([child, (child - 1) // 2])  # Upwards, as there.
    offset = (torch.arange(len(orders)) * size).view(-1, 1, 1)
    edge_index = (edges + offset).permute(1, 0, 2).reshape(2, -1)
    y = torch.zeros(len(orders), size, dtype=torch.long)
    y[:, 0] = orders.gather(1, asked.unsqueeze(1)).squeeze(1)
    y[:, 1] = num_leaves - 1  # So that all classes are counted.
    roots = torch.arange(len(orders)) * size
    return Task(x.flatten(0, 1), edge_index, y.flatten(), roots, roots, roots, reach=radius)


def rings(distance: int, seed: int) -> Task:
    """Rings where a node has to know the class of the one opposite; all others show nothing of it.

    From `On Over-Squashing in Message Passing Neural Networks <https://arxiv.org/abs/2302.02941>`_.
    Every node but the one opposite has the same features, the asked one too. So rings of a class
    are alike, and few are enough.
    """
    num_rings, size, num_classes = 100, 2 * distance, 5
    generator = torch.Generator().manual_seed(seed)
    of_ring = torch.randint(num_classes, (num_rings,), generator=generator)
    x = torch.ones(num_rings, size, num_classes) / num_classes
    x[:, distance] = torch.eye(num_classes)[of_ring]
    node = torch.arange(size)
    edges = torch.stack(
        [torch.cat([node, node]), torch.cat([(node + 1) % size, (node - 1) % size])]
    )
    offset = (torch.arange(num_rings) * size).view(-1, 1, 1)
    edge_index = (edges + offset).permute(1, 0, 2).reshape(2, -1)
    y = of_ring.unsqueeze(1).expand(-1, size).flatten()
    asked = torch.arange(num_rings) * size
    train, val, test = asked.tensor_split([60, 80])
    return Task(x.flatten(0, 1), edge_index, y, train, val, test, reach=distance)


#: The tasks by name.
TASKS: dict[str, Callable[[int], Task]] = {
    **{f"chains of {length}": partial(chains, length) for length in (10, 20, 50, 100)},
    **{f"trees of radius {radius}": partial(trees, radius) for radius in (2, 3)},
    **{f"rings at distance {distance}": partial(rings, distance) for distance in (6, 15)},
}
