"""How modules are executed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyg_modules.nn import SynchronousGraph
from pyg_modules.ops import BackendReport

# How often edges among hidden units are used for once that the others are.
_NUM_UPDATES = 8


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
    """``"batched"`` or ``"loop"``, whichever the cost model says is faster, and why.

    Args:
        whole (SynchronousGraph): All parts as one layer.
        parts (sequence of SynchronousGraph): The parts.
        batch (int): Number of samples.
    """
    batched = _seconds(whole.backend_report(batch))
    if batched is None:
        return "batched", "possible for these parts"
    loop = 0.0
    for part in parts:
        loop += _seconds(part.backend_report(batch)) or 0.0
    execution = "batched" if batched <= loop else "loop"
    times = f"batched {batched * 1e3:.3g} ms, loop {loop * 1e3:.3g} ms"
    return execution, f"fastest by the cost model: {times} for {_NUM_UPDATES} updates"


def _seconds(report: BackendReport) -> float | None:
    """Forwards and backwards, as predicted; ``None`` where nothing was."""
    total = 0.0
    for block, choice in report.choices.items():
        if not choice.is_predicted:
            return None
        total += choice.seconds[choice.backend] * (_NUM_UPDATES if block == "recurrence" else 1)
    return total
