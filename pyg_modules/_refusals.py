"""What torch asks of a module that this package cannot do, said with what can be done instead."""

from __future__ import annotations

from typing import NoReturn


def refuse_script(module: object) -> NoReturn:
    """What ``torch.jit.script`` calls as ``module.__prepare_scriptable__()``.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        f"Expected no torch.jit.script, which torch has deprecated (got it for a"
        f" {type(module).__name__}). Use torch.export.export, torch.compile, or torch.jit.trace."
    )


def refuse_replicas(module: object) -> NoReturn:
    """What ``torch.nn.DataParallel`` calls as ``module._replicate_for_data_parallel()``.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        f"Expected no DataParallel, whose replicas have no parameters and whose edges would stay on"
        f" one device (got it for a {type(module).__name__}). Use"
        f" torch.nn.parallel.DistributedDataParallel, a process per device."
    )
