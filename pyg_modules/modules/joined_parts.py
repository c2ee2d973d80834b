from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.ops.sharding import whole
from pyg_modules.partition.labels import SHARED


class JoinedParts:
    """The graph whose outputs are the sum of those of several, and its parameters out of theirs.

    Args:
        parts (sequence of UnitLayer): Layers that fit together, see :func:`fitting_parts`. Those
            that :func:`split` made get back the order of their units.

    Attributes:
        graph: Inputs and outputs of all parts, and the hidden units of every part.
        labels: The part of every unit, or its module in a part that is cut, ``[N]``; −1 for those
            that all share.
    """

    def __init__(self, parts: Sequence[UnitLayer]) -> None:
        graphs = [part.graph for part in parts]
        num_inputs, num_outputs = graphs[0].num_inputs, graphs[0].num_outputs
        num_units = num_inputs + sum(graph.num_hidden for graph in graphs) + num_outputs
        unit_ids = _ids_of_origin(parts, num_units)
        edge_ids = [part.origin.edge_ids for part in parts if part.origin is not None]
        if not unit_ids:
            unit_ids, edge_ids = _ids_in_line(graphs, num_units), []
        edges = _edges(parts, unit_ids)
        key = torch.cat(edge_ids) if edge_ids else edges[1] * num_units + edges[0]
        order = torch.argsort(key, stable=True)
        in_order = edges[:, order]
        is_first = torch.ones_like(order, dtype=torch.bool)
        is_first[1:] = (in_order[:, 1:] != in_order[:, :-1]).any(dim=0)
        self.graph = UnitGraph(in_order[:, is_first], num_units, num_inputs, num_outputs)
        self.labels = _labels(parts, unit_ids, self.graph)
        # An edge from an input to an output may be in several parts, and adds up.
        adds = ~is_first & (in_order[0] < num_inputs)
        hidden = torch.cat(
            [
                ids[graph.hidden.start : graph.hidden.stop]
                for ids, graph in zip(unit_ids, graphs, strict=True)
            ]
        )
        self._first, self._adding = order[is_first], order[adds]
        self._adds_to = (torch.cumsum(is_first, dim=0) - 1)[adds]
        self._hidden_order = torch.argsort(hidden)

    def weight(self, parts: Sequence[UnitLayer]) -> Tensor:
        """The weights of :attr:`graph`, ``[E, *row_shape]``, on the CPU."""
        weights = torch.cat([part.scaled_weight().detach().cpu() for part in parts])
        return weights[self._first].index_add(0, self._adds_to, weights[self._adding])

    def mask(self, parts: Sequence[UnitLayer], name: str) -> Tensor | None:
        """The edges of :attr:`graph` that a part marks in its ``name``; ``None`` for all.

        Args:
            parts (sequence of UnitLayer): The parts.
            name (str): One of their ``edge_masks``.
        """
        listed = [getattr(part, name) for part in parts]
        if all(mask is None for mask in listed):
            return None
        masks = torch.cat(
            [
                torch.ones(part.graph.num_edges, device="cpu") if mask is None else mask.cpu()
                for part, mask in zip(parts, listed, strict=True)
            ]
        ).long()
        return masks[self._first].index_add(0, self._adds_to, masks[self._adding]) > 0

    def bias(self, parts: Sequence[UnitLayer]) -> Tensor:
        """The biases of :attr:`graph`, ``[N - I]``, on the CPU."""
        biases = [whole(part.bias).detach().cpu() for part in parts if part.bias is not None]
        num_hidden = [part.graph.num_hidden for part in parts]
        hidden = [bias[:count] for bias, count in zip(biases, num_hidden, strict=True)]
        outputs = [bias[count:] for bias, count in zip(biases, num_hidden, strict=True)]
        return torch.cat([torch.cat(hidden)[self._hidden_order], torch.stack(outputs).sum(dim=0)])

    def dynamics(self, parts: Sequence[UnitLayer]) -> UnitDynamics:
        """What the hidden units of :attr:`graph` make of their sums."""
        return UnitDynamics.joined([part.dynamics for part in parts], self._hidden_order)


def fitting_parts(parts: Iterable[nn.Module]) -> list[UnitLayer]:
    """``parts`` as a list, if the sum of their outputs is that of one layer.

    Raises:
        TypeError: If it is one layer, no iterable, or a part is no layer of units.
        ValueError: If there are no parts or they do not fit together.
    """
    if isinstance(parts, UnitLayer) or not isinstance(parts, Iterable):
        raise TypeError(
            f"Expected several parts (got {type(parts).__name__}). Take a cut layer apart with"
            f" split(layer)."
        )
    listed = []
    for part in parts:
        check_layer(part)
        assert isinstance(part, UnitLayer)
        listed.append(part)
    if not listed:
        raise ValueError(
            "Expected at least one part (got none). Use split(layer) of a layer made by cut."
        )
    first = _description(listed[0])
    for number, part in enumerate(listed):
        for (name, expected), got in zip(first.items(), _description(part).values(), strict=True):
            if got != expected:
                raise ValueError(
                    f"Expected parts with the same {name} (got {expected} for part 0 and {got} for"
                    f" part {number})."
                    " Take the parts of one layer: split(layer)."
                )
    return listed


def graphs_alone(parts: Sequence[UnitLayer], what: str) -> list[SynchronousGraph]:
    """``parts``, for ``what``, which knows no other layer than a :class:`SynchronousGraph`.

    Raises:
        TypeError: If one is another layer.
    """
    graphs = [part for part in parts if isinstance(part, SynchronousGraph)]
    others = {part.kind for part in parts} - {SynchronousGraph.kind}
    if others:
        raise TypeError(
            f"Expected parts that are each a SynchronousGraph for {what} (got a {min(others)}). Use"
            f" ModularGraph, which computes any."
        )
    return graphs


def _description(part: UnitLayer) -> dict[str, object]:
    others = {
        name: value for name, value in part.config().items() if name not in part.dynamics.config()
    }
    # Those that compute in different ways have the same function.
    others.pop("backend", None)
    return {
        "kind of layer": part.kind,
        **others,
        "number of inputs": part.graph.num_inputs,
        "number of outputs": part.graph.num_outputs,
        "solver": part.solver.without_scaling(),
        **part.dynamics.shared_settings(),
        "dtype": part.dtype,
    }


def _ids_of_origin(parts: Sequence[UnitLayer], num_units: int) -> list[Tensor]:
    """Ids in the order of the layer that the parts come from; none if they come from several."""
    origins = [part.origin for part in parts if part.origin is not None]
    if len(origins) < len(parts):
        return []
    all_ids = torch.unique(torch.cat([origin.unit_ids for origin in origins]))
    if all_ids.numel() != num_units:
        return []
    # Some parts alone leave gaps.
    unit_ids = [torch.searchsorted(all_ids, origin.unit_ids) for origin in origins]
    # Those of different layers may have as many ids by chance, with other ends or other edges.
    num_inputs, num_outputs = parts[0].graph.num_inputs, parts[0].graph.num_outputs
    ends = torch.tensor(
        [*range(num_inputs), *range(num_units - num_outputs, num_units)], device="cpu"
    )
    for ids in unit_ids:
        if not torch.equal(torch.cat([ids[:num_inputs], ids[len(ids) - num_outputs :]]), ends):
            return []
    edge_ids = torch.cat([origin.edge_ids for origin in origins])
    source, target = _edges(parts, unit_ids)
    # One edge has one place, and one place one edge, where both and their pairs are as many.
    ids, places = (
        torch.unique(each, return_inverse=True)[1]
        for each in (edge_ids, target * num_units + source)
    )
    counts = {len(torch.unique(each)) for each in (ids, places, ids * len(ids) + places)}
    return unit_ids if len(counts) == 1 else []


def _edges(parts: Sequence[UnitLayer], unit_ids: Sequence[Tensor]) -> Tensor:
    """The edges of one part after those of the other, ``[2, E]``, between units of the whole."""
    return torch.cat(
        [ids[part.graph.edge_index] for ids, part in zip(unit_ids, parts, strict=True)], dim=1
    )


def _ids_in_line(graphs: Sequence[UnitGraph], num_units: int) -> list[Tensor]:
    """The hidden units of one part after those of the other."""
    unit_ids, begin = [], graphs[0].num_inputs
    for graph in graphs:
        end = begin + graph.num_hidden
        outputs = range(num_units - graph.num_outputs, num_units)
        unit_ids.append(torch.tensor([*graph.inputs, *range(begin, end), *outputs], device="cpu"))
        begin = end
    return unit_ids


def _labels(parts: Sequence[UnitLayer], unit_ids: Sequence[Tensor], graph: UnitGraph) -> Tensor:
    labels = torch.full((graph.num_units,), SHARED, device="cpu")
    first = 0
    for part, ids in zip(parts, unit_ids, strict=True):
        own = part.graph
        # A part may be cut itself.
        within = torch.zeros_like(ids) if part.labels is None else part.labels.cpu()
        module = torch.where(within >= 0, first + within, SHARED)
        if part.origin is not None:
            is_owned = part.origin.labels == part.origin.module
        else:
            # An output that feeds back into the hidden units of a part is its own.
            source, target = own.edge_index
            feeds_back = (source >= own.outputs.start) & (target < own.outputs.start)
            is_owned = torch.zeros_like(ids, dtype=torch.bool)
            is_owned[source[feeds_back]] = True
        is_owned[own.hidden.start : own.hidden.stop] = True
        labels[ids[is_owned]] = module[is_owned]
        first += (int(within.max()) if len(within) else 0) + 1
    # Without gaps, where a part has no units of its own.
    is_owned = labels >= 0
    labels[is_owned] = torch.unique(labels[is_owned], return_inverse=True)[1]
    return labels
