"""How many units a task is solved by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from pyg_modules import SynchronousGraph


@torch.no_grad()
def circuit_shares(
    layer: SynchronousGraph, x: Tensor, losses: Callable[[Tensor], Tensor]
) -> Tensor:
    r"""The effective share of hidden units in the circuit of every task.

    .. math::
        \frac{(\sum_i r_i)^2}{H \sum_i r_i^2}, \qquad
        r_i = \max(0, \mathcal{L}_{\text{without } i} - \mathcal{L})

    1 where all units count alike, :math:`1 / H` where one counts, 0 where none does.

    Args:
        layer (SynchronousGraph): A trained layer.
        x (Tensor): Inputs ``[n, I]``.
        losses (Callable): From outputs ``[n, O]`` to a loss per task ``[M]``.

    Returns:
        Tensor: Shares ``[M]``.
    """
    graph, source = layer.graph, layer.graph.edge_index[0]
    whole = losses(layer(x))
    rises = torch.stack(
        [
            losses(functional_call(layer, {"weight": layer.weight * (source != unit)}, (x,)))
            - whole
            for unit in range(graph.hidden.start, graph.hidden.stop)
        ]
    ).clamp(min=0)
    squares = rises.square().sum(dim=0) * len(rises)
    return torch.where(squares > 0, rises.sum(dim=0).square() / squares, 0.0)
