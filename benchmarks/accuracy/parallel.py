"""Independent runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from threading import Event
from typing import Any

import torch

from benchmarks.accuracy.journal import Journal


def run_all(
    work: Callable[..., dict[str, Any]],
    jobs: list[tuple[Any, ...]],
    *,
    quick: bool = False,
    journal: Journal | None = None,
) -> list[dict[str, Any]]:
    """What ``work(*job)`` returns for every job, in order; see :func:`run_each`."""
    return list(run_each(work, jobs, quick=quick, journal=journal))


def run_each(
    work: Callable[..., dict[str, Any]],
    jobs: list[tuple[Any, ...]],
    *,
    quick: bool = False,
    journal: Journal | None = None,
) -> Generator[dict[str, Any], None, None]:
    """What ``work(*job)`` returns for one job after the other; each is printed when it is there.

    One thread each: as fast for networks of this size, and the same numbers on every machine. With
    ``quick`` they run one after the other in this process, without the wait for new ones. Whoever
    closes the iterator wants no more: jobs that have not begun never do. What is in the
    ``journal`` does not run again, and it takes down all else.
    """
    if work.__module__.endswith(".__main__"):
        raise ValueError(
            f"Expected work of a module that other processes import (got {work.__name__} of"
            f" {work.__module__}, which they do not). Move it to a file beside."
        )
    known = [None if journal is None else journal.get(job) for job in jobs]
    futures: dict[int, Future[dict[str, Any]]] = {}
    wanted = Event()
    wanted.set()
    if not quick:
        missing = [number for number, result in enumerate(known) if result is None]
        for number in missing:
            futures[number] = _pool().submit(work, *jobs[number])
            if journal is not None:
                taken_down = partial(_take_down, journal, jobs[number], wanted)
                futures[number].add_done_callback(taken_down)
    try:
        for number, job in enumerate(jobs):
            result = known[number]
            if result is None:
                result = futures[number].result() if futures else work(*job)
                if journal is not None:
                    journal.add(job, result)
            print(*job, result, flush=True)
            yield result
    finally:
        wanted.clear()
        for future in futures.values():
            future.cancel()


def _take_down(
    journal: Journal, job: tuple[Any, ...], wanted: Event, future: Future[dict[str, Any]]
) -> None:
    """Keep what is there before others whose turn it is; no more when nobody waits for it."""
    if wanted.is_set() and not future.cancelled() and future.exception() is None:
        journal.add(job, future.result())


def by_name(
    jobs: list[tuple[Any, ...]], results: list[dict[str, Any]], position: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """The results of all jobs with the same name, which is at ``position`` of a job."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        grouped.setdefault(job[position], []).append(result)
    return grouped


@cache
def _pool() -> ProcessPoolExecutor:
    """For all calls: a process takes seconds to import what it needs."""
    return ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
