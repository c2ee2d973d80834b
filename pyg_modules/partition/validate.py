"""Checks of soft assignments and weighted edge lists."""

from __future__ import annotations

from torch import Tensor


def check_assignment(assignment: Tensor) -> None:
    """Raise unless ``assignment`` is a floating ``[N, K]`` tensor of at least one unit."""
    if not isinstance(assignment, Tensor):
        raise TypeError(f"Expected assignment to be a Tensor (got {type(assignment).__name__}).")
    if assignment.dim() != 2 or not assignment.is_floating_point() or not len(assignment):
        raise ValueError(
            f"Expected a soft assignment of shape [num_units, num_modules], e.g. from softmax (got"
            f" {assignment.dtype}, {list(assignment.shape)})."
        )


def check_edge_weight(edge_index: Tensor, edge_weight: Tensor) -> None:
    """Raise unless every edge has a weight."""
    if not isinstance(edge_weight, Tensor):
        raise TypeError(f"Expected edge_weight to be a Tensor (got {type(edge_weight).__name__}).")
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"Expected one weight per edge, [{edge_index.size(1)}] (got {list(edge_weight.shape)})."
        )
