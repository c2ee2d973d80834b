"""Showing the training as it goes: bars on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from pyg_modules.train.fit import EpochCallback


class Progress(ABC):
    """Where the training reports to."""

    @abstractmethod
    def phase(self, name: str, epochs: int) -> AbstractContextManager[EpochCallback]:
        """A context for one phase of ``epochs`` epochs, with what to call after each of them."""


class NoProgress(Progress):
    """Shows nothing."""

    @contextmanager
    def phase(self, name: str, epochs: int) -> Iterator[EpochCallback]:  # noqa: ARG002
        """See :meth:`Progress.phase`."""
        yield lambda _epoch, _losses: None


class LineProgress(Progress):
    """Prints a plain line after every tenth epoch and the last.

    Args:
        stream (TextIO): Where to print.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @contextmanager
    def phase(self, name: str, epochs: int) -> Iterator[EpochCallback]:
        """See :meth:`Progress.phase`."""

        def on_epoch(epoch: int, losses: dict[str, float]) -> None:
            if epoch % 10 == 0 or epoch == epochs:
                line = f"{name}: epoch {epoch}/{epochs}  {_described(losses)}"
                print(line.rstrip(), file=self.stream, flush=True)

        yield on_epoch


class BarProgress(Progress):
    """A progress bar per phase, on a terminal. Needs the extra ``train`` (rich)."""

    def __init__(self) -> None:
        from rich import progress

        self._rich = progress

    @contextmanager
    def phase(self, name: str, epochs: int) -> Iterator[EpochCallback]:
        """See :meth:`Progress.phase`."""
        columns = (
            self._rich.TextColumn("{task.description}"),
            self._rich.BarColumn(),
            self._rich.MofNCompleteColumn(),
            self._rich.TimeElapsedColumn(),
            self._rich.TextColumn("{task.fields[losses]}"),
        )
        with self._rich.Progress(*columns) as bars:
            task = bars.add_task(name, total=epochs, losses="")
            yield lambda epoch, losses: bars.update(
                task, completed=epoch, losses=_described(losses)
            )


def _described(losses: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
