"""What edges are worth; those worth least are pruned."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class EdgeScore(NamedTuple):
    """What edges are worth, by name in ``SCORES``.

    Attributes:
        of: From their weights, the gradient in them, and the weights that they began with, ``[E]``
            each; without ``needs_gradient``, the gradient is not looked at.
        needs_gradient: Whether it needs the gradient.
    """

    of: Callable[[Tensor, Tensor, Tensor], Tensor]
    needs_gradient: bool


SCORES = {
    "magnitude": EdgeScore(lambda weight, _, __: weight.abs(), needs_gradient=False),
    "gradient": EdgeScore(lambda _, gradient, __: gradient.abs(), needs_gradient=True),
    "weight_gradient": EdgeScore(
        lambda weight, gradient, _: (weight * gradient).abs(), needs_gradient=True
    ),
    # The sum of 2 w dw over all small steps.
    "movement": EdgeScore(
        lambda weight, _, initial: weight.square() - initial.square(), needs_gradient=False
    ),
}
