"""How a command ends early: refused, or interrupted, but not in the middle of a file."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Refused(Exception):  # noqa: N818, it is no fault of the program
    """The command cannot do what it was asked for; the message says why and what helps."""


@contextmanager
def refusals() -> Iterator[None]:
    """Make what is wrong with the input a :class:`Refused`."""
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        raise Refused(str(error)) from error


@contextmanager
def uninterrupted(done: str) -> Iterator[None]:
    """Put Ctrl-C off until the block has ended, and say then what it has ``done``."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    asked = False

    def remember(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt(done)
