"""Random graphs of all kinds: does every unit take part once the modules are cut apart?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx
import torch

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, partition_units
from pyg_modules.graph.reach import leave_far_units_unsaid
from pyg_modules.partition.liveliness import Liveliness

NUM_CASES = 200
NUM_INPUTS, NUM_OUTPUTS = 8, 6


def run(*, quick: bool) -> dict[str, Any]:
    """All cases, by kind of graph: units, those that a cut puts to rest, and refusals."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in GRAPHS}
    for seed in range(len(GRAPHS) if quick else NUM_CASES):
        kind = list(GRAPHS)[seed % len(GRAPHS)]
        found[kind].update(_case(kind, seed))
    return {kind: dict(counts) for kind, counts in found.items()}


def _case(kind: str, seed: int) -> dict[str, int]:
    rand = random.Random(seed)
    graph = GRAPHS[kind](rand)
    steps, num_modules = rand.randint(2, 10), rand.choice((2, 3, 4, 6))
    scope = rand.choice(("hidden", "all"))
    leave_far_units_unsaid(graph, steps)  # Cases with too few updates are among them.
    layer = SynchronousGraph(graph, Unrolled(steps), generator=torch.Generator().manual_seed(seed))
    before = {"cases": 1, "units": graph.num_hidden}
    try:
        labels = partition_units(layer, num_modules, scope=scope, tolerance=0.1, seed=seed)
    except ValueError:
        return before | {"refused": 1}
    liveliness = Liveliness.of(graph, labels, steps)
    with_dead = int(liveliness.num_dead > 0)
    return before | {"dead": liveliness.num_dead, "cases with dead units": with_dead}


def _layered(make: Callable[[list[int]], UnitGraph]) -> Callable[[random.Random], UnitGraph]:
    def graph(rand: random.Random) -> UnitGraph:
        levels = [rand.randint(6, 24) for _ in range(rand.randint(2, 8))]
        return make([NUM_INPUTS, *levels, NUM_OUTPUTS])

    return graph


def _erdos_renyi(rand: random.Random) -> UnitGraph:
    generator = torch.Generator().manual_seed(rand.randrange(2**31))
    density = rand.choice((0.1, 0.2, 0.5))
    return UnitGraph.erdos_renyi(
        NUM_INPUTS, rand.randint(24, 96), NUM_OUTPUTS, density, generator=generator
    )


def _of_networkx(
    make: Callable[[int, int], Any],
) -> Callable[[random.Random], UnitGraph]:
    """Hidden units as networkx wires them, in both directions; a third of the ends at random."""

    def graph(rand: random.Random) -> UnitGraph:
        num_hidden = rand.randint(24, 96)
        hidden = range(NUM_INPUTS, NUM_INPUTS + num_hidden)
        edges = [
            (i + NUM_INPUTS, j + NUM_INPUTS)
            for pair in make(num_hidden, rand.randrange(2**31)).edges
            for i, j in (pair, pair[::-1])
        ]
        edges += [(i, j) for i in range(NUM_INPUTS) for j in hidden if rand.random() < 1 / 3]
        outputs = range(hidden.stop, hidden.stop + NUM_OUTPUTS)
        edges += [(i, j) for i in hidden for j in outputs if rand.random() < 1 / 3]
        return UnitGraph(torch.tensor(edges).T, outputs.stop, NUM_INPUTS, NUM_OUTPUTS)

    return graph


GRAPHS: dict[str, Callable[[random.Random], UnitGraph]] = {
    "complete": lambda rand: UnitGraph.complete(NUM_INPUTS, rand.randint(12, 96), NUM_OUTPUTS),
    "layered": _layered(UnitGraph.layered),
    "yoked": _layered(UnitGraph.yoked),
    "sparse random": _erdos_renyi,
    "small world": _of_networkx(
        lambda n, seed: networkx.watts_strogatz_graph(n, 6, 0.1, seed=seed)
    ),
    "scale free": _of_networkx(lambda n, seed: networkx.barabasi_albert_graph(n, 3, seed=seed)),
}
