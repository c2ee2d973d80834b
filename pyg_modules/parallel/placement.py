from __future__ import annotations

import heapq
from collections.abc import Sequence
from numbers import Real

from pyg_modules._brief import brief
from pyg_modules._checks import as_int


def place_modules(costs: Sequence[int], num_ranks: int) -> list[list[int]]:
    """Which modules every rank computes, so that the costliest rank costs little.

    The costliest module that is left goes to the rank that has least: at most 4/3 of the best
    possible. From `Bounds on Multiprocessing Timing Anomalies
    <https://doi.org/10.1137/0117039>`_.

    Args:
        costs (sequence of int): Cost of every module, e.g. its number of edges.
        num_ranks (int): Number of ranks, at most the number of modules.

    Returns:
        list: Numbers of the modules of every rank, ascending.

    Raises:
        TypeError: If a cost is no number.
        ValueError: If there are more ranks than modules, no rank, or a negative cost.
    """
    num_ranks = as_int("num_ranks", num_ranks, smallest=1)
    for cost in costs:
        if isinstance(cost, bool) or not isinstance(cost, Real) or not cost >= 0:
            raise (ValueError if isinstance(cost, Real) else TypeError)(
                f"Expected costs >= 0 (got {brief(cost)}). Give e.g. the number of edges of each"
                f" module."
            )
    if num_ranks > len(costs):
        raise ValueError(
            f"Expected at most as many ranks as modules, {len(costs)} (got {num_ranks}). Start"
            f" fewer ranks, or use the others for copies: a second axis of a DeviceMesh."
        )
    # The number of modules comes second, so that no rank is left without where costs are 0.
    loads = [(0, 0, rank) for rank in range(num_ranks)]
    modules: list[list[int]] = [[] for _ in range(num_ranks)]
    for module in sorted(range(len(costs)), key=lambda module: (-costs[module], module)):
        cost, count, rank = heapq.heappop(loads)
        modules[rank].append(module)
        heapq.heappush(loads, (cost + costs[module], count + 1, rank))
    return [sorted(of_rank) for of_rank in modules]
