"""Classes that files call by a name."""

from __future__ import annotations

from typing import TypeVar

C = TypeVar("C", bound=type)


def register(known: dict[str, C], name: str, cls: C) -> None:
    """Enter a class by its name, or anew after it was defined again, as by a cell of a notebook.

    Args:
        known (dict): The classes so far.
        name (str): What files call it.
        cls (type): The class.

    Raises:
        ValueError: If another class has the name.
    """
    before = known.get(name, cls)
    if _place(before) != _place(cls):
        raise ValueError(
            f"Expected a name of its own for {_place(cls)} (got {name!r}, which is that of"
            f" {_place(before)} in files). Choose another."
        )
    known[name] = cls


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
