"""Which units are partitioned, and how strongly they belong together."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from scipy.sparse import csr_array
from torch import Tensor

from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.partition.affinity import affinity_matrix

SCOPES = ("hidden", "all")


def check_scope(scope: str) -> None:
    """Raise unless ``scope`` is the name of one."""
    if scope not in SCOPES:
        raise ValueError(f"Expected scope 'hidden' or 'all' (got {scope!r}).")


def partitioned_units(layer: SynchronousGraph, scope: str) -> Tensor:
    """The units that ``scope`` partitions, a boolean mask ``[N]`` on the device of the layer."""
    graph = layer.graph
    members = torch.full((graph.num_units,), scope == "all", device=layer.weight.device)
    members[graph.hidden.start : graph.hidden.stop] = True
    return members


def check_linked(layer: SynchronousGraph, scope: str) -> None:
    """Raise unless an edge joins two of the units that ``scope`` partitions."""
    members = partitioned_units(layer, scope).cpu()
    source, target = layer.graph.edge_index
    if not bool((members[source] & members[target] & (source != target)).any()):
        remedy = ' Use scope="all".' if scope == "hidden" and layer.graph.num_edges else ""
        raise ValueError(
            f"Expected edges between the units that scope={scope!r} partitions (got none).{remedy}"
        )


def affinity_of(layer: SynchronousGraph, scope: str, affinity: str) -> csr_array[Any]:
    """The affinities among the units that ``scope`` partitions, ``[n, n]``.

    Raises:
        ValueError: If no edge joins two of them, or no weight that is finite and not 0.
    """
    members = partitioned_units(layer, scope).cpu()
    edge_index = layer.graph.edge_index
    inside = members[edge_index].all(dim=0)
    check_linked(layer, scope)
    local = members.cumsum(0) - 1
    matrix = affinity_matrix(
        local[edge_index[:, inside]],
        layer.edge_weight().detach().cpu()[inside],
        int(members.sum()),
        affinity,
    )
    if not numpy.isfinite(matrix.data).all():
        raise ValueError(
            "Expected finite weights (got NaN or infinity). The training diverged; lower the"
            " learning rate."
        )
    if not has_links(matrix).any():
        raise ValueError(
            f"Expected weights between the units that scope={scope!r} partitions (got only zeros)."
            f" Train the layer first, or prune it less."
        )
    return matrix


def has_links(matrix: csr_array[Any]) -> numpy.typing.NDArray[numpy.bool_]:
    """Which units have an affinity to another unit, ``[n]``."""
    others = numpy.diff(matrix.indptr) - (matrix.diagonal() != 0)
    linked: numpy.typing.NDArray[numpy.bool_] = others > 0
    return linked
