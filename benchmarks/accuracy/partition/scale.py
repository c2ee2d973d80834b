"""Up to a million units: time and memory of the loss and its gradient, and of the search."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import log
from multiprocessing import get_context
from resource import RUSAGE_SELF, getrusage
from typing import Any

import torch
from torch_geometric.utils import coalesce

from pyg_modules.partition import Units, normalized_cut, partition_units
from pyg_modules.partition.losses import ncut_of
from pyg_modules.partition.units import EdgeList

_ROUNDS = 3


def run(*, quick: bool) -> dict[str, Any]:
    """The largest case, and how time grows with edges and modules; a process of its own each.

    ``quick``: a thousandth of all sizes, in this process.
    """
    scale = 1000 if quick else 1
    million = (10**6 // scale, 10**7 // scale, 64)
    edges = [(10**6 // scale, count // scale, 16) for count in (10**6, 3 * 10**6, 10**7)]
    modules = [(10**5 // scale, 10**6 // scale, count) for count in (8, 16, 32, 64)]
    measure_one = measure if quick else _apart
    result: dict[str, Any] = {"million": measure_one(*million)}
    for name, cases, position in (("edges", edges, 1), ("modules", modules, 2)):
        measured = [measure_one(*case) for case in cases]
        result[name] = {
            "values": [case[position] for case in cases],
            "seconds": [case["seconds"] for case in measured],
        }
        result[name]["exponent"] = _exponent(**result[name])
    searched = [(4096, 169_000, 8), (10**5, 10**6, 8), (10**6, 10**7, 64)]
    if quick:
        result["search"] = [measure_search(10**3, 10**4, 8)]
    else:
        result["search"] = [_apart(*case, function=measure_search) for case in searched]
    return result


def _apart(
    *arguments: int, function: Callable[..., dict[str, Any]] | None = None
) -> dict[str, Any]:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function or measure, arguments)


def measure_search(num_units: int, num_edges: int, num_modules: int) -> dict[str, Any]:
    """Seconds of ``partition_units`` with its defaults, its loops compiled before, and memory."""
    layer = _random_layer(num_units, num_edges)
    # Large enough for every loop.
    partition_units(_random_layer(2000, 20_000), num_modules, scope="all")
    start = time.perf_counter()
    labels = partition_units(layer, num_modules, scope="all")
    seconds = time.perf_counter() - start
    return {
        "num_units": num_units,
        "num_edges": num_edges,
        "num_modules": num_modules,
        "seconds": seconds,
        "normalized_cut": float(normalized_cut(layer.graph.edge_index, layer.weight, labels)),
        "process_gigabytes": getrusage(RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _random_layer(num_units: int, num_edges: int) -> EdgeList:
    generator = torch.Generator().manual_seed(0)
    edge_index = coalesce(torch.randint(num_units, (2, num_edges), generator=generator))
    weight = torch.randn(edge_index.size(1), generator=generator)
    return EdgeList.of(edge_index, weight, num_units)


def measure(num_units: int, num_edges: int, num_modules: int) -> dict[str, Any]:
    """Seconds of loss and gradient, the least of three, and peak memory of the whole process."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(num_units, (2, num_edges), generator=generator)
    edge_index = coalesce(edge_index)  # A few of them came twice.
    weight = torch.randn(edge_index.size(1), generator=generator).requires_grad_()
    logits = torch.randn(num_units, num_modules, generator=generator).requires_grad_()
    start = time.perf_counter()
    units = Units(EdgeList.of(edge_index, weight, num_units))
    _ = units.edges  # Built here, and kept.
    built = time.perf_counter() - start
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        weight.grad = logits.grad = None
        ncut_of(units, logits.softmax(dim=-1)).backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - start)
    return {
        "num_units": num_units,
        "num_edges": num_edges,
        "num_modules": num_modules,
        "build_seconds": built,
        "seconds": min(seconds),
        "process_gigabytes": getrusage(RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _exponent(values: list[int], seconds: list[float]) -> float:
    """The slope between the first and the last in logarithms."""
    return log(seconds[-1] / seconds[0]) / log(values[-1] / values[0])
