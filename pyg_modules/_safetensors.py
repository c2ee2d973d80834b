"""Files of tensors, without pickle; an extra."""

from __future__ import annotations

from typing import Any


def import_safetensors() -> Any:
    """The module ``safetensors.torch``, and its ``SafetensorError``.

    Raises:
        ImportError: If safetensors is not installed.
    """
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "Saving and loading need safetensors: pip install 'pyg-modules[train]'"
        ) from error
    namespace: Any = safetensors.torch
    namespace.SafetensorError = safetensors.SafetensorError
    return namespace
