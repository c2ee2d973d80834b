"""Which backend computes the synchronous update."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pyg_modules._checks import check_choice
from pyg_modules.ops.cost_model import is_measured, measure, predict
from pyg_modules.ops.determinism import is_deterministic
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import BACKENDS
from pyg_modules.ops.work import Work

_logger = logging.getLogger(__name__)

# Above this many cells (a gigabyte in float32) a dense matrix is not tried out.
_MAX_CELLS = 2**28


class Choice(NamedTuple):
    """The backend of one set of edges, and why.

    Args:
        backend (str): Its name.
        reason (str): How it was found.
        seconds (dict): Time of one update forwards and backwards, predicted or measured, of every
            backend that was considered.
        refused (dict): Why a backend that is made for the device could not be considered.
    """

    backend: str
    reason: str
    seconds: dict[str, float]
    refused: dict[str, str]


def check_backend(backend: str) -> None:
    """Raise unless ``backend`` is ``"auto"`` or the name of a backend."""
    check_choice("backend", backend, ("auto", *sorted(BACKENDS)))


def check_available(backend: str, device: torch.device, dtype: torch.dtype) -> None:
    """Raise unless the backend of this name can compute for weights of ``dtype`` on ``device``.

    Raises:
        ImportError: If a package has to be installed first.
        ValueError: If the backend does not know the device or the dtype.
    """
    operator = BACKENDS[backend]
    missing = operator.missing()
    if missing is not None:
        raise ImportError(
            f"The backend {backend!r} needs {missing}: {_install(missing)}. Or use backend='auto'."
        )
    obstacle = operator.obstacle(device, dtype)
    if obstacle is not None:
        dtypes = ", ".join(str(known).removeprefix("torch.") for known in operator.dtypes)
        raise ValueError(
            f"Expected weights in {dtypes} on {' or '.join(operator.devices)} for backend"
            f" {backend!r} (got {obstacle}). Use backend='auto' or 'scatter'."
        )


def choose(
    edges: EdgeSet,
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    can_permute: bool = False,
    composed: bool = False,
    sums_alone: bool = False,
    beside: str | None = None,
) -> Choice:
    """The fastest backend for ``edges`` on ``device``.

    Where the cost model was measured on that type of device it is asked; elsewhere every backend
    is tried. Under ``torch.use_deterministic_algorithms(True)`` only backends are considered that
    give the same bits each time, and none is tried, as the fastest may be another each time.

    Args:
        edges (EdgeSet): The edges.
        batch (int): Number of samples.
        device (torch.device): Where the weights are.
        dtype (torch.dtype): Their floating type.
        can_permute (bool, optional): Whether a solver iterates these edges, so that a backend may
            lay out the units as it likes. (default: ``False``)
        composed (bool, optional): Whether the updates have to be made of torch's own operations.
            (default: ``False``)
        sums_alone (bool, optional): Whether something else computes activations, so that they do
            not count by the cost model. (default: ``False``)
        beside (str, optional): The backend of the recurrence, for edges that are used once per call
            beside it: it is taken unless another is twice as fast, as libraries that take turns
            get into each other's threads.
    """
    works: dict[str, Work] = {}
    refused: dict[str, str] = {}
    for name, backend in BACKENDS.items():
        fits = (
            device.type in backend.devices
            and (can_permute or not backend.permutes_units)
            and (backend.is_composable or not composed)
        )
        if is_deterministic():
            fits = fits and device.type not in backend.nondeterministic_devices
        work = backend.work(edges, batch) if fits else None
        if work is None:
            continue
        why_not = _refusal(name, device, dtype)
        if why_not is None:
            works[name] = work._replace(units=0) if sums_alone else work
        else:
            refused[name] = why_not
    anywhere = next(name for name, backend in BACKENDS.items() if backend.works_everywhere)
    if len(works) == 1 or device.type == "meta":
        only = anywhere if device.type == "meta" else next(iter(works))
        return Choice(only, f"the only backend for {dtype} on {device.type}", {}, refused)
    if is_measured(device.type, dtype):
        times = {name: predict(device.type, dtype, name, work) for name, work in works.items()}
        seconds = {name: time for name, time in times.items() if time is not None}
        return _fastest(seconds, refused, beside, f"by the cost model for {device.type}")
    if is_deterministic():
        least = min(works, key=lambda name: BACKENDS[name].held(works[name]))
        return Choice(least, "holds the fewest numbers; a choice by time may differ", {}, refused)
    seconds = {
        name: measure(BACKENDS[name].build(edges).to(device), edges.num_edges, batch, dtype)
        for name, work in works.items()
        if BACKENDS[name].held(work) <= _MAX_CELLS
    }
    if not seconds:
        return Choice(anywhere, f"too large to be timed on this {device.type} device", {}, refused)
    choice = _fastest(seconds, refused, beside, f"when timed on this {device.type} device")
    _logger.info("Timed %s on %s for batch %d: %s.", seconds, device, batch, choice.backend)
    return choice


def _fastest(
    seconds: dict[str, float], refused: dict[str, str], beside: str | None, how: str
) -> Choice:
    best = min(seconds, key=seconds.__getitem__)
    if beside in seconds and best != beside and seconds[beside] < 2 * seconds[best]:
        reason = f"that of the recurrence, and no other twice as fast {how}"
        return Choice(beside, reason, seconds, refused)
    return Choice(best, f"fastest {how}", seconds, refused)


def _refusal(backend: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why the backend cannot compute for weights of ``dtype`` on ``device``; ``None`` if it can."""
    operator = BACKENDS[backend]
    missing = operator.missing()
    return operator.obstacle(device, dtype) if missing is None else _install(missing)


def _install(extra: str) -> str:
    return f"pip install 'pyg-modules[{extra}]'"


def is_available(backend: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the backend of this name can compute for weights of ``dtype`` on ``device``.

    Args:
        backend (str): Its name.
        device (torch.device): Where the weights are.
        dtype (torch.dtype): Their floating type.
    """
    return _refusal(backend, device, dtype) is None


def companion_of(backend: str) -> str:
    """The backend for edges beside those that ``backend`` iterates."""
    companion = BACKENDS[backend].companion
    return backend if companion is None else companion.name


def joint_backend(backend: str) -> str:
    """The backend that computes several layers as one as ``backend`` computes each."""
    joint = (name for name in BACKENDS if name != backend and companion_of(name) == backend)
    return next(joint, backend)


@dataclass(frozen=True)
class BackendReport:
    """What computes a layer, one set of edges after the other, and why; print it.

    Args:
        batch (int): Number of samples it is about.
        choices (dict): The choice for every set of edges, by name.
    """

    batch: int
    choices: dict[str, Choice]

    def __str__(self) -> str:
        lines = [f"Backends for a batch of {self.batch}:"]
        for edges, choice in self.choices.items():
            lines.append(f"  {edges:<12}{choice.backend:<13}{choice.reason}")
            ranked = sorted(choice.seconds.items(), key=lambda item: item[1])
            times = ", ".join(f"{name} {seconds * 1e3:.3g} ms" for name, seconds in ranked)
            if times:
                lines.append(f"{'':14}one update forwards and backwards: {times}")
            refused = ", ".join(f"{name} ({why})" for name, why in choice.refused.items())
            if refused:
                lines.append(f"{'':14}not possible: {refused}")
        return "\n".join(lines)
