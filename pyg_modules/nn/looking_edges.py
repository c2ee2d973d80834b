from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph


def looking_edges(graph: UnitGraph, neighbours: object) -> Tensor:
    """A mask ``[E]`` of the edges of ``graph`` that look at neighbours.

    Args:
        graph (UnitGraph): The units and the edges between them.
        neighbours (Tensor): A mask ``[E]``, or a list of edges ``[2, e]`` that the graph has.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it does not fit the graph.
    """
    if not isinstance(neighbours, Tensor) or neighbours.is_floating_point():
        found = neighbours.dtype if isinstance(neighbours, Tensor) else type(neighbours).__name__
        raise TypeError(
            f"Expected neighbours to be a mask [{graph.num_edges}] of dtype torch.bool, or edges"
            f" [2, e] of dtype torch.int64 (got {found})."
            " Use torch.as_tensor, with one of these dtypes."
        )
    neighbours = neighbours.detach().to("cpu", copy=True)
    if neighbours.dtype == torch.bool:
        if neighbours.shape != (graph.num_edges,):
            raise ValueError(
                f"Expected a mask of shape [{graph.num_edges}], one per edge of the graph (got"
                f" {list(neighbours.shape)})."
                " Give one bool for each column of graph.edge_index."
            )
        return neighbours
    if neighbours.dim() != 2 or neighbours.size(0) != 2:
        raise ValueError(
            f"Expected neighbours of shape [2, e], sources and targets among the units (got"
            f" {list(neighbours.shape)})."
            " Of pairs, use neighbours.t()."
        )
    sources, targets = neighbours.long()
    known, asked = (
        target * graph.num_units + source
        for source, target in (graph.edge_index, (sources, targets))
    )
    is_unit = ((neighbours >= 0) & (neighbours < graph.num_units)).all(dim=0)
    missing = ~(torch.isin(asked, known) & is_unit)
    if bool(missing.any()):
        source, target = neighbours[:, missing][:, 0].tolist()
        raise ValueError(
            f"Expected edges of the graph in neighbours (got {int(missing.sum())} that it has not,"
            f" e.g. {source} -> {target}). Give the graph these edges; where w is not wanted, it"
            f" can be 0."
        )
    return torch.isin(known, asked)
