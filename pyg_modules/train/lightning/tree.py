"""Nested Python values as JSON and tensors, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def to_tree(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """``value`` for JSON, with names in the place of tensors, and the tensors by name.

    Scalars stay as they are; all else is ``{kind: content}``, so that tuples and keys that are no
    strings come back as what they are.

    Raises:
        TypeError: If there is anything but tensors, numbers, strings, ``None``, and dicts, lists
            and tuples of them.
    """
    tensors: dict[str, Tensor] = {}
    return _to_tree(value, tensors, ()), tensors


def from_tree(tree: Any, tensor: Callable[[str], Tensor]) -> Any:
    """The value that :func:`to_tree` described.

    Args:
        tree (Any): The description.
        tensor (Callable): From names to tensors.
    """
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensor(content)
    if kind == "dict":
        return {key: from_tree(value, tensor) for key, value in content}
    values = [from_tree(value, tensor) for value in content]
    return tuple(values) if kind == "tuple" else values


def _to_tree(value: Any, tensors: dict[str, Tensor], path: tuple[Any, ...]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor) and value.layout == torch.strided:
        name = "/".join(map(str, (*path, len(tensors))))
        # A copy, since two tensors of one file may not share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict) and all(isinstance(key, int | str) for key in value):
        return {
            "dict": [[key, _to_tree(item, tensors, (*path, key))] for key, item in value.items()]
        }
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_to_tree(item, tensors, (*path, i)) for i, item in enumerate(value)]}
    raise TypeError(
        f"Expected tensors, numbers, strings, None, and dicts, lists and tuples of them in a"
        f" checkpoint (got {type(value).__name__} in {' / '.join(map(str, path))}). Convert it"
        f" where it is saved, e.g. in the state_dict of a callback."
    )
