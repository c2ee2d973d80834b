"""Values of users in messages."""

from __future__ import annotations

from reprlib import Repr
from typing import Any


class _Brief(Repr):
    """As :mod:`reprlib` shortens, with arrays by their shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 160

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002
        """Python writes no number of thousands of digits."""
        return str(x) if abs(x) < 2**128 else f"one of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        """Of an object that is of no type of Python, a line at most."""
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple) and shape:
            return f"{type(x).__name__} of shape {list(shape)}"
        return " ".join(super().repr_instance(x, level).split())


_BRIEF = _Brief()


def brief(value: object) -> str:
    """``value`` for a message, in a line, however much it holds."""
    return _BRIEF.repr(value)
