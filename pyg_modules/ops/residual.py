"""How far states are from those after the next update, by sample."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_residual(following: Tensor, state: Tensor) -> Tensor:
    """The norm of ``following - state`` [n, B] over that of ``state``, by sample; 0 if both are."""
    return relative(column_norm(following - state), column_norm(state)).to(state.dtype)


def relative(norm: Tensor, norm_of_state: Tensor) -> Tensor:
    """``norm`` over ``norm_of_state``, ``[B]``; 0 where both are 0.

    Over a norm too large for its dtype it would be 0, too; it is infinite.
    """
    tiny = torch.finfo(norm_of_state.dtype).tiny
    quotient = norm / norm_of_state.clamp(min=tiny)
    return quotient.masked_fill(norm_of_state.isinf(), torch.inf)


def column_norm(state: Tensor) -> Tensor:
    """The norm of every column of ``state`` [n, B]; torch's own is four times slower.

    In float32 at least: squares of small or large numbers in half precision are 0 or infinite.
    """
    state = state.to(torch.promote_types(state.dtype, torch.float32))
    return state.square().sum(dim=0).sqrt()
