from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.edge_fingerprint import is_of
from pyg_modules.nn.storage import checked_labels

# What averages of equal labels may be off.
_ROUNDING = 1e-2


class LoadingLayer(Protocol):
    """What a state is loaded into."""

    graph: UnitGraph
    row_shape: tuple[int, ...]
    labels: Tensor | None
    edge_mask: Tensor | None
    edge_masks: ClassVar[tuple[str, ...]]

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""

    def placed(self, value: Tensor) -> Tensor:
        """``value`` where the weights are, unless it would be lost there."""

    def place_labels(self, labels: Tensor | None) -> None:
        """Set its labels."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters and their names."""


def state_to_load(
    layer: LoadingLayer, state_dict: dict[str, Tensor], prefix: str, error_messages: list[str]
) -> dict[str, Tensor]:
    """``state_dict`` without labels, which ``layer`` gets at once, as it gets place for a mask.

    Weights of other edges than those of the layer are refused, though they may fit in shape.

    A layer is pruned as the one whose weights it gets; those it keeps, it keeps pruned. It is told
    its modules with the weights it gets; without labels, as earlier versions and layers that are
    not cut have none, it keeps those of its graph.

    Args:
        layer (LoadingLayer): The layer.
        state_dict (dict): What is loaded.
        prefix (str): What the names of the layer begin with.
        error_messages (list of str): Gets a message if the edges or the labels do not fit.
    """
    state_dict = dict(state_dict)
    edges = state_dict.pop(f"{prefix}_extra_state", None)  # None of earlier versions.
    for name in layer.edge_masks:
        mask, own = state_dict.get(f"{prefix}{name}"), getattr(layer, name)
        if mask is not None:  # One without values would take those of the layer away.
            is_lost = mask.is_meta and own is not None and not own.is_meta
            state_dict[f"{prefix}{name}"] = own if is_lost else mask.bool()
    mask = state_dict.get(f"{prefix}edge_mask")
    weights = [
        value
        for key, value in state_dict.items()
        if key.startswith(prefix) and "weight" in key.removeprefix(prefix)
    ]
    num_edges = layer.graph.num_edges
    if mask is not None and mask.shape == (num_edges,):
        layer.edge_mask = layer.placed(mask.clone())
    elif mask is None and any(weight.shape == (num_edges, *layer.row_shape) for weight in weights):
        layer.edge_mask = None
    key = f"{prefix}labels"
    others = {name: value for name, value in state_dict.items() if name != key}
    labels = state_dict.get(key)
    fits = all(
        parameter.shape == others[f"{prefix}{name}"].shape
        for name, parameter in layer.named_parameters()
        if f"{prefix}{name}" in others
    )
    if fits and edges is not None and not edges.is_meta and not is_of(edges, layer.graph):
        error_messages.append(
            f"Expected weights of the edges of the layer (got those of as many others in"
            f" {prefix}weight). Load the state into a layer of the graph that it is from; after"
            f" SparseSchedule, load its state first, or keep layers with layer.save."
        )
    if fits and labels is not None and not labels.is_meta:
        try:
            labels = checked_labels(_whole(labels), layer.graph.num_units)
            _check_no_edge_between(labels, layer)
        except ValueError as error:
            error_messages.append(
                f"Expected {key} that fit the graph of the layer (got {error}). Load the state"
                f" into a layer of the graph that it is from."
            )
        else:
            layer.place_labels(labels.clone())
    elif fits and labels is None and layer.labels is not None and _num_joining(layer.labels, layer):
        layer.place_labels(None)  # It had them while its edges were pruned.
    return others


def _whole(labels: Tensor) -> Tensor:
    """Labels that are floating as averages of state dicts are, those of equal modules."""
    if not labels.is_floating_point():
        return labels
    whole = labels.round()
    if bool(((labels - whole).abs() > _ROUNDING).any()):
        raise ValueError("means of different modules")
    return whole.long()


def _check_no_edge_between(labels: Tensor, layer: LoadingLayer) -> None:
    """Raise a ``ValueError`` if an edge joins two modules of ``labels``, unless it did before.

    Weights of another partition may fit in shape.
    """
    known = layer.labels
    if known is not None and torch.equal(labels.to(known.device), known):
        return
    count = _num_joining(labels, layer)
    if count:
        raise ValueError(f"modules that {count} of its edges join")


def _num_joining(labels: Tensor, layer: LoadingLayer) -> int:
    """How many edges that are on join two modules."""
    source, target = labels.cpu()[layer.graph.edge_index]
    joins = (source != target) & (source >= 0) & (target >= 0)
    if layer.edge_mask is not None:
        joins &= layer.edge_mask.cpu()
    return int(joins.sum())
