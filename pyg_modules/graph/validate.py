"""Checks of what a unit graph is built from."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor

from pyg_modules._checks import as_int, check_plain, check_values

_INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# An edge has the number target * num_units + source, of 64 bits.
_MOST_UNITS = isqrt(2**63 - 1)


def as_sizes(**sizes: object) -> list[int]:
    """The values of ``sizes`` as numbers of units."""
    return [as_int(name, size, 0, _MOST_UNITS) for name, size in sizes.items()]


def check_edge_index_form(edge_index: object) -> None:
    """Raise unless ``edge_index`` is a dense integer tensor ``[2, E]``; its values are not read."""
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"Expected edge_index to be a LongTensor of shape [2, num_edges] (got"
            f" {type(edge_index).__name__}). Use torch.tensor([sources, targets])."
        )
    check_plain(
        "edge_index",
        edge_index,
        instead_of_sparse="torch_geometric.utils.to_edge_index(adjacency)[0]",
    )
    if edge_index.dtype not in _INTEGER_DTYPES:
        raise TypeError(
            f"Expected edge_index of dtype torch.long (got {edge_index.dtype}). Use"
            f" edge_index.long() if its values are unit ids."
        )
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"Expected edge_index of shape [2, num_edges], sources above targets (got"
            f" {list(edge_index.shape)})."
            " Of pairs, use edge_index.t()."
        )


def check_edge_index(edge_index: Tensor, num_units: int, num_inputs: int) -> None:
    """Raise unless ``edge_index`` joins two of ``num_units`` units by every edge, each once."""
    check_edge_index_form(edge_index)
    check_values("edge_index", edge_index)
    if edge_index.size(1) == 0:
        return
    smallest, largest = int(edge_index.min()), int(edge_index.max())
    if smallest < 0 or largest >= num_units:
        raise ValueError(
            f"Expected unit ids in [0, {num_units}) in edge_index (got {smallest} to {largest})."
            f" Raise the number of units, num_units, or remove the edges."
        )
    if bool((entering := edge_index[1] < num_inputs).any()):
        raise ValueError(
            f"Expected no edge into an input unit, ids [0, {num_inputs}) (got"
            f" {_first_edge(edge_index, entering)}). Inputs are clamped to the data; drop such"
            f" edges or make the unit hidden."
        )
    keys = edge_index[1].long() * num_units + edge_index[0].long()
    if bool((keys[1:] > keys[:-1]).all()):  # Generated edges are in order.
        return
    keys = keys.sort().values
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if repeated.numel():
        target, source = divmod(int(repeated[0]), num_units)
        raise ValueError(
            f"Expected every edge once (got {source} -> {target} more than once)."
            f" Use torch_geometric.utils.coalesce(edge_index)."
        )


def _first_edge(edge_index: Tensor, selection: Tensor) -> str:
    source, target = edge_index[:, selection][:, 0].tolist()
    return f"{source} -> {target}"
