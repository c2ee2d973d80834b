"""Modules side by side on threads of the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from pyg_modules.nn import SynchronousGraph
from pyg_modules.ops import refuse_second_derivative


def sum_on_threads(parts: Sequence[SynchronousGraph], x: Tensor) -> Tensor:
    """The sum of the outputs of ``parts``, forwards and backwards one part per thread."""
    parameters = [parameter for part in parts for parameter in (part.weight, part.bias)]
    if torch.is_autocast_enabled("cpu") and x.is_floating_point():
        x = x.to(parts[0].weight.dtype)  # Other threads know nothing of autocast.
    total: Tensor = _SumOnThreads.apply(tuple(parts), x, *parameters)  # type: ignore[no-untyped-call]
    return total


class _SumOnThreads(torch.autograd.Function):
    """Autograd goes backwards on one thread; here every part keeps a graph of its own for that."""

    @staticmethod
    def forward(
        ctx: Any, parts: tuple[SynchronousGraph, ...], x: Tensor, *parameters: Tensor
    ) -> Tensor:
        needs_x, is_needed = ctx.needs_input_grad[1], any(ctx.needs_input_grad)

        def run(part: SynchronousGraph) -> tuple[Tensor, Tensor]:
            with torch.set_grad_enabled(is_needed):
                own = x.detach().requires_grad_(needs_x)
                return own, part(own)

        ctx.runs = list(_pool(torch.get_num_threads()).map(run, parts))
        ctx.parameters = parameters
        return torch.stack([outputs.detach() for _, outputs in ctx.runs]).sum(dim=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("execution 'threads'", "Use execution='loop'.")
        _, needs_x, *needs = ctx.needs_input_grad

        def run(number: int) -> list[Any]:
            own, outputs = ctx.runs[number]
            inputs = [own, *ctx.parameters[2 * number : 2 * number + 2]]
            needed = [needs_x, *needs[2 * number : 2 * number + 2]]
            asked = [one for one, is_needed in zip(inputs, needed, strict=True) if is_needed]
            gradients = iter(
                torch.autograd.grad(outputs, asked, grad, retain_graph=True) if asked else ()
            )
            return [next(gradients) if is_needed else None for is_needed in needed]

        runs = list(_pool(torch.get_num_threads()).map(run, range(len(ctx.runs))))
        of_x = torch.stack([run[0] for run in runs]).sum(dim=0) if needs_x else None
        return (None, of_x, *(gradient for run in runs for gradient in run[1:]))


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    """Threads in which torch computes on one thread each."""
    pool = ThreadPoolExecutor(num_threads, initializer=_compute_alone)
    all_started = Barrier(num_threads)
    for _ in range(num_threads):
        pool.submit(all_started.wait)
    pool.submit(int).result()
    # The last call is what torch takes for threads to come.
    torch.set_num_threads(num_threads)
    return pool


def _compute_alone() -> None:
    """Let torch compute on one thread in this thread."""
    # A thread that was never asked would later take the number of the main thread.
    torch.get_num_threads()
    torch.set_num_threads(1)


# Threads do not live on in a process that is forked; on Windows none is.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
