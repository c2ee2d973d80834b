"""Independent runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch


def run_all(
    work: Callable[..., dict[str, Any]], jobs: list[tuple[Any, ...]], *, quick: bool = False
) -> list[dict[str, Any]]:
    """What ``work(*job)`` returns for every job, in order; each is printed when it is there.

    One thread each: as fast for networks of this size, and the same numbers on every machine. With
    ``quick`` they run one after the other in this process, without the wait for new ones.
    """
    results = []
    if quick:
        for job in jobs:
            results.append(work(*job))
            print(*job, results[-1], flush=True)
        return results
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            results.append(future.result())
            print(*job, results[-1], flush=True)
    return results


def by_name(
    jobs: list[tuple[Any, ...]], results: list[dict[str, Any]], position: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """The results of all jobs with the same name, which is at ``position`` of a job."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        grouped.setdefault(job[position], []).append(result)
    return grouped


def _one_thread() -> None:
    torch.set_num_threads(1)
