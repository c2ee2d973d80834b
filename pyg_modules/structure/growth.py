"""Which edges a graph gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from pyg_modules.structure.gradient_growth import edges_by_gradient
from pyg_modules.structure.growing import Growing
from pyg_modules.structure.local_growth import edges_by_neighbours
from pyg_modules.structure.random_growth import edges_at_random


class Growth(NamedTuple):
    """A way to find edges that are missing, by name in ``GROWTHS``.

    Attributes:
        edges: From what is asked for to edges, ``[2, n]``, fewer if no more are possible.
        needs_gradient: Whether it needs gradients, which a price may lower.
    """

    edges: Callable[[Growing], Tensor]
    needs_gradient: bool


GROWTHS = {
    "gradient": Growth(edges_by_gradient, needs_gradient=True),
    "random": Growth(edges_at_random, needs_gradient=False),
    "local": Growth(edges_by_neighbours, needs_gradient=False),
}
