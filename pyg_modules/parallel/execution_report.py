from __future__ import annotations

from dataclasses import dataclass

from pyg_modules.ops.dispatch import BackendReport


@dataclass(frozen=True)
class ExecutionReport:
    """How the modules of a :class:`ModularGraph` are computed, and why; print it.

    Args:
        execution (str): ``"batched"`` or ``"loop"``.
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
