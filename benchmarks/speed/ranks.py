"""Modules on two ranks, a core each, against all of them in one process on one core."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor.debug import CommDebugMode
from torch.multiprocessing.spawn import spawn

from benchmarks.speed.modules import random_modules
from benchmarks.speed.training_step import BATCH, NUM_ENDS, STEPS, training_step
from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.parallel import DistributedModules

NUM_RANKS = 2


def run(device: torch.device, *, quick: bool) -> dict[str, Any]:
    """Medians over rounds in which both take turns, and the traffic of a training step."""
    del device  # Cores of the CPU.
    sizes, rounds = ((8, 8), 1) if quick else ((512,) * 8, 15)
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < NUM_RANKS:
        return {"skipped": f"fewer than {NUM_RANKS} cores that a process can be bound to"}
    with tempfile.TemporaryDirectory() as folder:
        spawn(_rank, (folder, sizes, rounds), nprocs=NUM_RANKS)  # type: ignore[no-untyped-call]
        found: dict[str, Any] = json.loads((Path(folder) / "result.json").read_text())
    return found


def _rank(rank: int, folder: str, sizes: tuple[int, ...], rounds: int) -> None:
    core = sorted(os.sched_getaffinity(0))[rank]
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=NUM_RANKS
    )
    graph = UnitGraph.complete(NUM_ENDS, sum(sizes), NUM_ENDS)
    generator = torch.Generator().manual_seed(0)
    layer = SynchronousGraph(graph, Unrolled(STEPS), "tanh")
    layer.reset_parameters(generator)
    modular = cut(layer, random_modules(graph, sizes))
    del layer, graph
    x = torch.randn(BATCH, NUM_ENDS, generator=generator)
    spread = DistributedModules(split(modular))
    whole = ModularGraph(split(modular))
    torch.testing.assert_close(spread(x), whole(x), rtol=1e-3, atol=1e-4)
    traffic, counts = _traffic(spread, x)
    alone, together = training_step(whole, x), training_step(spread, x)
    seconds: dict[str, list[float]] = {"alone": [], "together": []}
    for _ in range(rounds):
        dist.barrier()
        if rank == 0:
            alone()
            seconds["alone"].append(_seconds(alone))
        dist.barrier()
        together()
        dist.barrier()
        seconds["together"].append(_seconds(together))
    if rank == 0:
        medians = {name: median(times) for name, times in seconds.items()}
        result = {
            "num_hidden": sum(sizes),
            "num_modules": len(sizes),
            "num_ranks": NUM_RANKS,
            "milliseconds": {name: 1e3 * value for name, value in medians.items()},
            "ratio": median(one / two for one, two in zip(*seconds.values(), strict=True)),
            "bytes_per_step": traffic,
            "bytes_of_outputs": BATCH * NUM_ENDS * x.element_size(),
            "collectives": counts,
        }
        (Path(folder) / "result.json").write_text(json.dumps(result))
    dist.destroy_process_group()


def _traffic(model: nn.Module, x: Tensor) -> tuple[int, dict[str, int]]:
    """Bytes that this rank gives to collectives in a training step, and which they are."""
    given = 0
    all_reduce: Callable[..., Any] = dist.all_reduce

    def counted(tensor: Tensor, **kwargs: Any) -> Any:
        nonlocal given
        given += tensor.numel() * tensor.element_size()
        return all_reduce(tensor, **kwargs)

    communication: Any = CommDebugMode()  # type: ignore[no-untyped-call]
    with patch.object(dist, "all_reduce", counted), communication:
        training_step(model, x)()
    counts = {str(name): count for name, count in communication.get_comm_counts().items()}
    return given, counts


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
