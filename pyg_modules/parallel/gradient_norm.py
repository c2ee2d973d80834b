"""The norm of gradients of which every rank has some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from pyg_modules._checks import as_coefficient
from pyg_modules.parallel.distributed_modules import DistributedModules


def clip_grad_norm_(model: nn.Module, max_norm: float) -> Tensor:
    r"""Scale the gradients of a model down to a norm, that of the modules of all ranks.

    As :func:`torch.nn.utils.clip_grad_norm_`, which knows the gradients of one rank: with it, every
    rank of :class:`DistributedModules` would scale its own by another factor. All ranks have to
    call it.

    Args:
        model (torch.nn.Module): :class:`DistributedModules`, or a model with such, where all else
            is the same on every rank.
        max_norm (float): The largest norm; infinite to be told the norm alone.

    Returns:
        Tensor: The norm before, a scalar, the same on every rank.

    Raises:
        TypeError: If ``model`` is not a module, or ``max_norm`` not a number.
        ValueError: If ``max_norm`` is negative.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"Expected model to be a torch.nn.Module (got {type(model).__name__}). Give the model,"
            f" not its parameters."
        )
    parameters = list(model.parameters())
    if max_norm != inf:
        max_norm = as_coefficient("max_norm", max_norm)
    return clip(parameters, max_norm, spread_in(model))


def spread_in(model: nn.Module) -> list[DistributedModules]:
    """What of a model is spread over ranks."""
    return [each for each in model.modules() if isinstance(each, DistributedModules)]


def clip(
    parameters: Iterable[nn.Parameter], max_norm: float, spread: Sequence[DistributedModules]
) -> Tensor:
    """:func:`clip_grad_norm_` of ``parameters``, among which are those of ``spread``."""
    if not spread:
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    clipped = [parameter for parameter in parameters if parameter.grad is not None]
    elsewhere = {parameter for each in spread for parameter in each.parameters()}
    norms = [each.grad_norm() for each in spread]
    gradients = [one.grad for one in clipped if one.grad is not None and one not in elsewhere]
    norms.append(get_total_norm(gradients).to(norms[0]))
    norm: Tensor = torch.stack([each.to(norms[0]) for each in norms]).norm()
    clip_grads_with_norm_(clipped, max_norm, norm)
    return norm
