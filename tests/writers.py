"""Writers in processes of their own, stopped or killed at any of their calls to the file system."""

import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

CALLS = {
    "open",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
}
REFUSED = 3


def in_child(work: Callable[[], object]) -> int:
    """Start ``work`` in a process of its own: 0 if it ends, 3 if it raises a ValueError."""
    with warnings.catch_warnings():
        # Threads of torch do not go along; nothing here needs them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except ValueError:
        status = REFUSED
    finally:
        os._exit(status)


def exit_of(child: int) -> int:
    """The exit status of a child, -9 if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def before_each_call(folder: Path, do: Callable[[int], None]) -> None:
    """Let this process call ``do(number)`` before each of its calls that names ``folder``."""
    count = 0

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal count
        if event in CALLS and any(str(folder) in str(argument) for argument in args):
            count += 1
            do(count)

    sys.addaudithook(hook)  # It cannot be taken away: for processes of one work only.


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_call(number: int, folder: Path, work: Callable[[], object]) -> bool:
    """Whether ``work`` was killed before its call ``number``; if not, it has ended."""

    def run() -> None:
        before_each_call(folder, lambda count: kill() if count == number else None)
        work()

    return _was_killed(exit_of(in_child(run)))


def killed_at_line(number: int, work: Callable[[], object]) -> bool:
    """Whether ``work`` was killed before line ``number`` of all that Python runs for it."""

    def run() -> None:
        count = 0

        def trace(frame: object, event: str, argument: object) -> object:  # noqa: ARG001
            nonlocal count
            count += event == "line"
            if count == number:
                kill()
            return trace

        sys.settrace(trace)
        work()

    return _was_killed(exit_of(in_child(run)))


def lines_of(work: Callable[[], object]) -> int:
    """How many lines Python runs for ``work``."""
    low, high = 1, 1
    while killed_at_line(high, work):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if killed_at_line(middle, work) else (low, middle)
    return low


def _was_killed(status: int) -> bool:
    assert status in (0, -signal.SIGKILL)
    return status != 0


def fails_at_call(
    number: int, code: int, folder: Path, work: Callable[[], object], *, once: bool
) -> bool | None:
    """Whether ``work`` says that its call ``number`` failed; None if it makes fewer calls."""
    reading, writing = os.pipe()

    def fail(count: int) -> None:
        if count == number or (count > number and not once):
            if count == number:
                os.write(writing, b"f")
            raise OSError(code, os.strerror(code))

    def run() -> None:
        before_each_call(folder, fail)
        work()

    status = exit_of(in_child(run))
    os.close(writing)
    has_failed = bool(os.read(reading, 1))
    os.close(reading)
    assert status in (0, REFUSED), f"status {status} at call {number}"
    return status == REFUSED if has_failed else None


def interleaved(seed: int, folder: Path, works: list[Callable[[], object]]) -> list[int]:
    """The exit statuses of ``works``, which run one call each in a random order."""
    choose = random.Random(seed)
    running = {}
    for number, work in enumerate(works):
        asks, asked = os.pipe()
        goes, go = os.pipe()

        def run(work=work, asked=asked, goes=goes):
            def wait(count: int) -> None:  # noqa: ARG001
                os.write(asked, b"?")
                os.read(goes, 1)

            before_each_call(folder, wait)
            work()

        running[number] = (in_child(run), asks, go)
        os.close(asked)
        os.close(goes)
    statuses = [0] * len(works)
    for number, (_, asks, _) in list(running.items()):
        if not os.read(asks, 1):
            statuses[number] = exit_of(running.pop(number)[0])
    while running:
        number = choose.choice(sorted(running))
        child, asks, go = running[number]
        os.write(go, b"!")
        if not os.read(asks, 1):
            os.close(asks)
            os.close(go)
            statuses[number] = exit_of(child)
            del running[number]
    return statuses
