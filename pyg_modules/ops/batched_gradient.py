"""Backward passes of a batch of gradients at once, which the kernels compute one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# The batches of torch.func.vmap, and those of vectorize=True and is_grads_batched=True.
_functorch: Any = torch._C._functorch
_Gradients = tuple[Tensor | None, ...]


def for_each_gradient(backward: Callable[[Tensor], _Gradients], grad: Tensor) -> _Gradients:
    """``backward(grad)``; where ``grad`` is a batch of gradients, a batch of what it returns."""
    add_batch_dim: Callable[..., Tensor]
    if _functorch.is_batchedtensor(grad):
        level = _functorch.maybe_get_level(grad)
        dim = _functorch.maybe_get_bdim(grad)
        parts = _functorch.get_unwrapped(grad).unbind(dim)
        add_batch_dim = _functorch._add_batch_dim
    elif _functorch.is_legacy_batchedtensor(grad):
        # That of the innermost: this counts one up, and down again.
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        parts = torch._remove_batch_dim(grad, level, 0, 0).unbind()
        add_batch_dim = torch._add_batch_dim
    else:
        return backward(grad)
    found = [for_each_gradient(backward, part) for part in parts]
    return tuple(
        None if values[0] is None else add_batch_dim(torch.stack(values), 0, level)
        for values in zip(*found, strict=True)
    )
