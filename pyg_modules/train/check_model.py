from __future__ import annotations

from torch import nn


def check_model(model: object) -> None:
    """Raise a ``TypeError`` unless ``model`` is a :class:`torch.nn.Module`."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"Expected a model that is a torch.nn.Module (got {type(model).__name__}). Make"
            f" one of a UnitGraph: SynchronousGraph(graph)."
        )
