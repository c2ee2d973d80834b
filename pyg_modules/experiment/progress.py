"""Showing the training as it goes: bars on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

from pyg_modules.train.fit import EpochCallback

#: What there is to say after an epoch, counted from 1.
Status = Callable[[int], str]


class Progress(ABC):
    """Where the training reports to."""

    @abstractmethod
    def phase(
        self, name: str, epochs: int, status: Status | None = None
    ) -> AbstractContextManager[EpochCallback]:
        """A context for one phase of ``epochs`` epochs, with what to call after each of them.

        ``status`` says in some words how it goes beside the losses, after the epoch it is given.
        """


class NoProgress(Progress):
    """Shows nothing."""

    @contextmanager
    def phase(
        self,
        name: str,  # noqa: ARG002
        epochs: int,  # noqa: ARG002
        status: Status | None = None,  # noqa: ARG002
    ) -> Iterator[EpochCallback]:
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
    def phase(
        self, name: str, epochs: int, status: Status | None = None
    ) -> Iterator[EpochCallback]:
        """See :meth:`Progress.phase`."""

        def on_epoch(epoch: int, losses: dict[str, float]) -> None:
            if epoch % 10 == 0 or epoch == epochs:
                line = f"{name}: epoch {epoch}/{epochs}  {_described(epoch, losses, status)}"
                print(line.rstrip(), file=self.stream, flush=True)

        yield on_epoch


class BarProgress(Progress):
    """A progress bar per phase, and a line below it, on a terminal.

    Needs the extra ``train`` (rich).
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()

        class Bars(RichProgress):
            def get_renderables(self) -> Iterator[Any]:
                # The losses stand below, for a line has place for no more.
                for task in self.tasks:
                    yield self.make_tasks_table([task])
                    yield task.fields["losses"]

        self._new_bars: Callable[[], Any] = lambda: Bars(*columns)

    @contextmanager
    def phase(
        self, name: str, epochs: int, status: Status | None = None
    ) -> Iterator[EpochCallback]:
        """See :meth:`Progress.phase`."""
        with self._new_bars() as bars:
            task = bars.add_task(name, total=epochs, losses="")
            yield lambda epoch, losses: bars.update(
                task, completed=epoch, losses=_described(epoch, losses, status)
            )


def _described(epoch: int, losses: dict[str, float], status: Status | None) -> str:
    words = [f"{name} {value:.4f}" for name, value in losses.items()]
    return "  ".join(words if status is None else [*words, status(epoch)])
