"""Faces whose names are imported when they are first used: ``--help`` does not wait for torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, module_of: Mapping[str, str], rooms: Iterable[str] = ()
) -> Callable[[str], Any]:
    """A ``__getattr__`` for the ``__init__.py`` of a package.

    Args:
        package (str): Its ``__name__``.
        module_of (mapping): By public name, the module that it is imported from.
        rooms (iterable of str, optional): Packages in it that are attributes of it at once.
    """
    rooms = frozenset(rooms)

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in rooms:
            return import_module(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
