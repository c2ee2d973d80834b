"""Independent runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
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
    if work.__module__.endswith(".__main__"):
        raise ValueError(
            f"Expected work of a module that other processes import (got {work.__name__} of"
            f" {work.__module__}, which they do not). Move it to a file beside."
        )
    if quick:
        return _printed(jobs, (work(*job) for job in jobs))
    futures = [_pool().submit(work, *job) for job in jobs]
    return _printed(jobs, (future.result() for future in futures))


def by_name(
    jobs: list[tuple[Any, ...]], results: list[dict[str, Any]], position: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """The results of all jobs with the same name, which is at ``position`` of a job."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        grouped.setdefault(job[position], []).append(result)
    return grouped


def _printed(
    jobs: list[tuple[Any, ...]], results: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """All results, each printed with its job as soon as it is there."""
    kept = []
    for job, result in zip(jobs, results, strict=True):
        print(*job, result, flush=True)
        kept.append(result)
    return kept


@cache
def _pool() -> ProcessPoolExecutor:
    """For all calls: a process takes seconds to import what it needs."""
    return ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
