"""Processes of their own, without the seconds that a new one needs to import everything."""

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch
from torch.multiprocessing import start_processes

# Processes are forked from one that has done nothing but these imports. What starts once in a
# process, as threads of numba or a group of ranks, has not started there.
_METHOD = "forkserver"
_fresh = multiprocessing.get_context(_METHOD)
_fresh.set_forkserver_preload(
    [
        "pytest",
        "pyg_modules.parallel",
        "pyg_modules.train.lightning",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
    ]
)


def start_fresh(work: Callable[..., None], *arguments: object) -> multiprocessing.Process:
    """A process of its own that calls ``work``; it ends with status 1 if that raises."""
    process = _fresh.Process(target=work, args=arguments)
    process.start()
    return process


def exit_of_fresh(work: Callable[..., None], *arguments: object) -> int | None:
    """The exit status of a process of its own that calls ``work``, -9 if it was killed."""
    process = start_fresh(work, *arguments)
    process.join()
    return process.exitcode


def start_ranks(work: Callable[..., None], num_ranks: int, *arguments: object) -> None:
    """Call ``work(rank, *arguments)`` in a process for every rank; raise what one raises."""
    start_processes(work, arguments, nprocs=num_ranks, start_method=_METHOD)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
    return port


def set_rank(rank: int, num_ranks: int, port: int) -> None:
    """Tell this process which rank it is, as torchrun does; it computes in one thread."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(num_ranks), "LOCAL_WORLD_SIZE": str(num_ranks)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "1"}
