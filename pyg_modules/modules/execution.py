"""How modules are executed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyg_modules.nn import SynchronousGraph
from pyg_modules.ops import BackendReport

# What a call of a layer costs beside its products, in cells of a matrix: measured with 16 modules
# of 32 units and batches of 128, where a loop over them takes 2.8 ms per module.
_CELLS_PER_CALL = 60_000


@dataclass(frozen=True)
class ExecutionReport:
    """How the modules of a :class:`ModularGraph` are computed, and why; print it.

    Args:
        execution (str): ``"batched"``, ``"loop"`` or ``"threads"``.
        reason (str): How it was found.
        backends (list of BackendReport): That of the joined graph for ``"batched"``, else one per
            part.
    """

    execution: str
    reason: str
    backends: list[BackendReport]

    def __str__(self) -> str:
        lines = [f"Execution: {self.execution} ({self.reason})"]
        return "\n".join([*lines, *map(str, self.backends)])


def choose_execution(
    whole: SynchronousGraph, parts: Sequence[SynchronousGraph], batch: int
) -> tuple[str, str]:
    """``"batched"``, or ``"loop"`` where that has fewer products to compute, and why.

    Args:
        whole (SynchronousGraph): All parts as one layer.
        parts (sequence of SynchronousGraph): The parts.
        batch (int): Number of samples.
    """
    backend = whole.backend_report(batch).choices["recurrence"].backend
    if backend != "block":
        return "batched", f"the backend {backend!r} computes all parts without padding"
    sizes = [part.graph.num_hidden for part in parts]
    batched = len(sizes) * max(sizes) ** 2
    loop = sum(size**2 + _CELLS_PER_CALL for size in sizes)
    execution = "batched" if batched <= loop else "loop"
    return execution, (
        f"matrices padded to the largest have {batched:,} cells; one by one they have"
        f" {sum(size**2 for size in sizes):,}, and a call costs as much as {_CELLS_PER_CALL:,}"
    )
