"""A plan past this machine: what was measured on one rank, extrapolated to many by simulation.

``python -m benchmarks.speed.plan`` reads ``cpu.json`` and writes ``plan.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from benchmarks.options import parse_none
from benchmarks.speed.tables import RESULTS as MEASURED
from pyg_modules._files import write_json
from pyg_modules.parallel import place_modules

RESULTS = Path(__file__).with_name("plan.json")
RANKS = (1, 2, 10, 100, 1000)
MODULES_PER_RANK, NUM_OUTPUTS, STEPS_SIMULATED = 8, 100, 200
_FLOAT, _GIGABYTE = 4, 2**30


class Assumptions(NamedTuple):
    """What was not measured."""

    bytes_per_second: float = 3.1e9  # 25 Gbit/s in each direction.
    latency_seconds: float = 20e-6
    spread_of_sizes: float = 0.25  # Of the logarithm of the sizes of modules.
    spread_of_speed: float = 0.05  # Of the logarithm of a rank's time, from step to step.
    optimizer_copies: int = 2  # AdamW remembers two numbers per weight.


class Rank(NamedTuple):
    """What one rank has to do in a training step, in the largest graph that was measured."""

    units: int
    edges: int
    batch: int
    updates: int
    seconds: float
    gigabytes: float


def main() -> None:
    """Simulate and write."""
    million = json.loads(MEASURED.read_text(encoding="utf-8"))["memory"]["million"]
    rank = Rank(
        million["num_units"],
        million["num_edges"],
        million["batch"],
        million["steps"],
        million["seconds"],
        million["process_gigabytes"],
    )
    assumed = Assumptions()
    write_json(
        RESULTS,
        {
            "measured": rank._asdict(),
            "assumed": assumed._asdict(),
            "modules_per_rank": MODULES_PER_RANK,
            "rows": [simulate(rank, assumed, num_ranks) for num_ranks in RANKS],
        },
    )


def simulate(rank: Rank, assumed: Assumptions, num_ranks: int) -> dict[str, Any]:
    """Training steps of ``num_ranks`` ranks with as many units each, modules against slices.

    Modules: a rank computes its modules, of unequal sizes and placed by their cost; then all ranks
    add up the outputs. Slices (tensor-parallel): a rank computes its rows of one uncut graph of the
    same size, after all ranks gathered all states, in every update and backwards.
    """
    generator = numpy.random.default_rng(num_ranks)
    sizes = generator.lognormal(0, assumed.spread_of_sizes, num_ranks * MODULES_PER_RANK)
    costs = [round(cost) for cost in sizes / sizes.mean() * rank.edges / MODULES_PER_RANK]
    loads = numpy.array(
        [sum(costs[module] for module in of_rank) for of_rank in place_modules(costs, num_ranks)]
    )
    speed = generator.lognormal(0, assumed.spread_of_speed, (STEPS_SIMULATED, num_ranks))
    compute = rank.seconds * speed
    outputs = rank.batch * NUM_OUTPUTS * _FLOAT
    states = rank.batch * rank.units * num_ranks * _FLOAT
    # States are gathered before every update but the first, and gradients scattered after each.
    transfers = 2 * (rank.updates - 1)
    modules = _slowest(compute * loads / rank.edges) + _all_reduce(assumed, num_ranks, outputs)
    slices = _slowest(compute) + transfers * _gather(assumed, num_ranks, states)
    share = (num_ranks - 1) / num_ranks
    optimizer = assumed.optimizer_copies * rank.edges * _FLOAT / _GIGABYTE
    return {
        "ranks": num_ranks,
        "units": rank.units * num_ranks,
        "edges": rank.edges * num_ranks,
        "modules": {
            "seconds": modules,
            "efficiency": rank.seconds / modules,
            "bytes_per_rank": 2 * share * outputs,
            "gigabytes": rank.gigabytes * float(loads.max()) / rank.edges + optimizer,
        },
        "slices": {
            "seconds": slices,
            "efficiency": rank.seconds / slices,
            "bytes_per_rank": transfers * share * states,
            # The gathered states of an update are there beside the own ones.
            "gigabytes": rank.gigabytes + optimizer + states / _GIGABYTE,
        },
    }


def _slowest(seconds: NDArray[numpy.float64]) -> float:
    """The mean over the steps of the time of the last rank."""
    return float(seconds.max(axis=1).mean())


def _gather(assumed: Assumptions, num_ranks: int, total: float) -> float:
    """An all-gather or reduce-scatter around a ring."""
    hops = num_ranks - 1
    return hops * (assumed.latency_seconds + total / num_ranks / assumed.bytes_per_second)


def _all_reduce(assumed: Assumptions, num_ranks: int, total: float) -> float:
    return 2 * _gather(assumed, num_ranks, total)


if __name__ == "__main__":
    parse_none(__doc__)
    main()
