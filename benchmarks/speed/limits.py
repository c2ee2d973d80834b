"""What this machine can do at most, and how near the kernels come to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from benchmarks.speed.timing import interleaved
from benchmarks.speed.training_step import BATCH, make_layer
from pyg_modules.ops import ACTIVATIONS, RowActivation


def run(device: torch.device, *, quick: bool) -> dict[str, Any]:
    """GFLOP/s of a large dense product and of the kernels, and bytes per second of copies."""
    num_hidden, rounds = (256, 1) if quick else (4096, 9)
    size = 256 if quick else 2048
    matrix = torch.randn(size, size, device=device)
    copied = torch.randn(2**18 if quick else 2**26, device=device)
    cached = torch.randn(num_hidden, BATCH, device=device)
    out, cached_out = torch.empty_like(copied), torch.empty_like(cached)
    tanh = RowActivation(ACTIVATIONS["tanh"], num_hidden)
    runs: dict[str, Callable[[], object]] = {
        "gemm": lambda: matrix @ matrix,
        "copy": lambda: out.copy_(copied),
        "cached copy": lambda: cached_out.copy_(cached),
    }
    products = {"gemm": size**3}
    for density in (0.01, 0.05):
        layer = make_layer(num_hidden, density, device)
        operator = layer._operators("auto", BATCH).recurrence
        weight = layer._wiring().split(layer.weight.detach())[1]
        values, transposed = operator.prepare(weight), operator.prepare_transposed(weight)
        state, total = torch.rand(2, num_hidden, BATCH, device=device).unbind()
        result, gradient = torch.empty_like(state), operator.new_gradient(weight)

        update = partial(operator.update, values, state, total, tanh, result)
        adjoint = partial(
            operator.adjoint,
            transposed,
            total,
            state,
            tanh,
            result,
            gradient=gradient,
            total=torch.zeros_like(total),
        )
        runs |= {f"update {density:.0%}": update, f"adjoint {density:.0%}": adjoint}
        products |= {
            f"update {density:.0%}": weight.numel() * BATCH,
            f"adjoint {density:.0%}": 2 * weight.numel() * BATCH,
        }
    seconds = {name: median(times) for name, times in interleaved(runs, rounds).items()}
    gflops = {name: 2e-9 * number / seconds[name] for name, number in products.items()}
    bandwidth = {
        "copy": 2e-9 * copied.numel() * copied.element_size() / seconds["copy"],
        "cached copy": 2e-9 * cached.numel() * cached.element_size() / seconds["cached copy"],
    }
    # For an edge, an update reads one row of states; two products of an adjoint share one.
    gathered = {
        name: 4e-9 * number / (2 if name.startswith("adjoint") else 1) / seconds[name]
        for name, number in products.items()
        if name != "gemm"
    }
    return {
        "gigaflops": gflops,
        "gigabytes_per_second": bandwidth,
        "gathered_gigabytes_per_second": gathered,
    }
