from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from sys import getrefcount
from weakref import ref

from torch import nn

# Between the warning and the caller of backward() are three frames of torch.
_STACKLEVEL = 5
# References to what is in a dictionary and nowhere else, when they are counted.
_HOLDER = {"weight": object()}
_HELD_ONCE = getrefcount(_HOLDER["weight"])


def watch_for_optimizer(layer: nn.Module, new: nn.Parameter) -> None:
    """Warn at the first gradient of ``new`` if an optimizer trains the weight it was made of.

    Whoever only computes with ``new``, or makes an optimizer of it, is left alone.

    Args:
        layer (torch.nn.Module): Has the weight that was trained.
        new (Parameter): What was made of it.
    """
    own = layer._parameters
    # A search among all objects takes a tenth of a second; no more refer to most weights.
    if "weight" not in own or getrefcount(own["weight"]) <= _HELD_ONCE:
        return
    old = own["weight"]
    assert old is not None
    if not (new.requires_grad and _is_in_group(old)):
        return
    before = ref(old)

    def is_left_alone(parameter: nn.Parameter) -> bool:
        old = before()
        return old is not None and has_optimizer(old) and not _is_in_group(parameter)

    _warn_at_first_gradient(
        new,
        is_left_alone,
        "A layer that cut made has a gradient, but no optimizer: the one of the layer before the"
        " cut trains that layer on, and this one not at all. Cut with it, cut(layer, labels,"
        " optimizer=optimizer), or make a new one of the parameters of the new layer.",
    )


def watch_left_behind(old: nn.Parameter) -> None:
    """Warn at the first gradient of ``old``, which its optimizer no longer trains, if none does.

    Args:
        old (Parameter): The weight of a layer whose optimizer went on with another.
    """
    if not old.requires_grad:
        return
    _warn_at_first_gradient(
        old,
        lambda parameter: not has_optimizer(parameter),
        "The weight that a layer had before it was cut or rewired has a gradient, but no optimizer:"
        " that of the layer went on with the new weight. Put the new layer at all places of the old"
        " one, and give layers that share its parameters those that it has now; or make a new"
        " optimizer.",
    )


def move_hooks(old: nn.Parameter, new: nn.Parameter) -> None:
    """Let what looks at the gradient of ``old`` look at that of ``new`` instead."""
    for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        hooks = getattr(old, name)
        if hooks:  # The dictionary itself, from which handles remove them.
            setattr(old, name, None)
            setattr(new, name, hooks)


def warn_of_hooks(layer: nn.Module) -> None:
    """Warn if ``layer`` has hooks that a layer which is made of it will not have."""
    hooks = [*layer._forward_hooks.values(), *layer._forward_pre_hooks.values()]
    hooks += [*layer._backward_hooks.values(), *layer._backward_pre_hooks.values()]
    # Those of torch only compute the weight, as of weight_norm or prune, and it goes along.
    if not all(_is_of_torch(hook) for hook in hooks):
        warnings.warn(
            "The layer has hooks, which stay with it: what is made of it has none, and may"
            " compute something else. Register them there, too.",
            stacklevel=4,
        )


def has_optimizer(parameter: nn.Parameter) -> bool:
    """Whether the parameters of a group of an optimizer are a list with ``parameter``."""
    if not _is_in_group(parameter):
        return False
    gc.collect()  # Optimizers that are gone may wait for it, in a circle with their schedulers.
    return _is_in_group(parameter)


def _is_of_torch(hook: object) -> bool:
    return any(kind.__module__.startswith("torch.nn.utils.") for kind in type(hook).__mro__)


def _warn_at_first_gradient(
    parameter: nn.Parameter, is_wrong: Callable[[nn.Parameter], bool], message: str
) -> None:
    def look(parameter: nn.Parameter) -> None:
        handle.remove()
        if is_wrong(parameter):
            warnings.warn(message, stacklevel=_STACKLEVEL)

    handle = parameter.register_post_accumulate_grad_hook(look)  # type: ignore[no-untyped-call]


def _is_in_group(parameter: nn.Parameter) -> bool:
    lists = [held for held in gc.get_referrers(parameter) if type(held) is list]
    return any(
        type(group) is dict and group.get("params") is held
        for held in lists
        for group in gc.get_referrers(held)
    )
