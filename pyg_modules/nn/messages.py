"""What may change what a module computes: hooks, and messages other than those of its class."""

from __future__ import annotations

from itertools import product

from torch import nn
from torch_geometric.nn import MessagePassing

from pyg_modules.ops.tracing import is_tracing

_STEPS = ("message", "message_and_aggregate", "aggregate", "edge_update")
_HOOKS = [
    f"_{step}_forward_{when}hooks" for step, when in product(("propagate", *_STEPS), ("pre_", ""))
]
# PyG writes a propagate of its own for every class.
_METHODS = (*_STEPS, "update")


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether hooks, of torch or of PyG, may change what ``module`` itself computes."""
    return any(
        "forward" in name and name.endswith("_hooks") and bool(hooks)
        for name, hooks in vars(module).items()
    )


def check_messages(layer: MessagePassing, kind: type[MessagePassing]) -> None:
    """Raise if ``propagate`` would compute something else than ``kind`` does in its place.

    Args:
        layer (MessagePassing): A layer.
        kind (type): What it is, or is derived from.

    Raises:
        ValueError: If there are hooks on messages, a method of another class, or another flow.
    """
    if layer.flow != "source_to_target":
        raise ValueError(
            f"Expected flow='source_to_target' (got {layer.flow!r}). Give edge_index.flip(0) for"
            f" the other direction."
        )
    found = None
    if any(getattr(layer, hooks) for hooks in _HOOKS):
        found = "hooks, as to_hetero_with_bases registers"
    for name in _METHODS:
        is_own = not is_tracing() and name in vars(layer)
        if is_own or getattr(type(layer), name) is not getattr(kind, name):
            found = f"another method {name}"
    if found is not None:
        raise ValueError(
            f"Expected the messages of a {kind.__name__} (got {found}): they are computed without"
            f" propagate, so that this would be left out without a word. Use layer.step, which"
            f" passes messages, or a convolution of PyG."
        )
