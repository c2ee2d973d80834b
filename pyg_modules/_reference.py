"""What is referred to, not owned."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Reference(Generic[T]):
    """An object that is referred to, not owned: copies of who refers to it refer to the same.

    If it is copied in the same :func:`copy.deepcopy`, before or after, they refer to its copy. A
    pickle has the object in it.

    Args:
        target (object): The object.
    """

    def __init__(self, target: T) -> None:
        self._target = target
        # Of a deep copy that may not be complete yet: its copies by the ids of their originals.
        self._copies: dict[int, Any] | None = None

    def __call__(self) -> T:
        """The object."""
        if self._copies is not None:
            self._target = self._copies.get(id(self._target), self._target)
            self._copies = None
        return self._target

    @property
    def is_settled(self) -> bool:
        """Whether it is known what a copy refers to; it is not before all is copied."""
        return self._copies is None

    def __deepcopy__(self, memo: dict[int, Any]) -> Reference[T]:
        copied = Reference(self())
        copied._copies = memo
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"_target": self(), "_copies": None}
