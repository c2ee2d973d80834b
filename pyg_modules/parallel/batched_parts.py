from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.nn.unit_layer import spare_generator
from pyg_modules.ops.autocast import without_autocast
from pyg_modules.ops.dispatch import is_available, joint_backend
from pyg_modules.ops.edge_set import EdgeSet


class BatchedParts:
    """Several layers computed as one, whose outputs are the sum of theirs.

    The hidden units stand in a line, part by part, the largest first, and the edges set by set.
    So the parameters of the whole are those of the parts, one after the other, and the weights
    among the hidden units of complete parts are batches of matrices, without moving any.

    Args:
        parts (sequence of SynchronousGraph): Layers that fit together, without feedback from
            outputs, on one device.
    """

    def __init__(self, parts: Sequence[SynchronousGraph]) -> None:
        sizes = [part.graph.num_hidden for part in parts]
        self._order = sorted(range(len(parts)), key=lambda number: -sizes[number])
        parts = [parts[number] for number in self._order]
        first = parts[0]
        edges, adds_to = _edges_by_set([part.graph for part in parts])
        graph = first.graph
        num_units = graph.num_inputs + sum(part.graph.num_hidden for part in parts)
        hidden = torch.arange(sum(sizes), device="cpu")
        joined = UnitDynamics.joined([part.dynamics for part in parts], hidden)
        self.whole = SynchronousGraph(
            UnitGraph(edges, num_units + graph.num_outputs, graph.num_inputs, graph.num_outputs),
            first.solver.without_scaling(),
            **joined.config(),
            device="meta",  # Where no random numbers are drawn.
            dtype=first.dtype,
            generator=spare_generator(first.device),
        )
        # Its parameters are given at every call; these take no memory.
        for module in self.whole.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                empty = first.bias.detach().new_zeros(()).expand(parameter.shape)
                setattr(module, name, nn.Parameter(empty, requires_grad=False))
        self.whole.backend = _joint_backend(parts)
        self._adds_to = None if adds_to is None else adds_to.to(first.device)

    def __call__(self, parts: Sequence[SynchronousGraph], x: Tensor) -> Tensor:
        """The sum of the outputs of ``parts``, with their parameters as they are now."""
        parts = [parts[number] for number in self._order]
        # Parametrizations too compute as they do for the layers.
        with without_autocast(self.whole.device):
            parameters = {"weight": self._weight(parts), "bias": self._bias(parts)}
            for name, _ in self.whole.dynamics.named_parameters():
                values = [part.dynamics.values(name, part.bias) for part in parts]
                parameters[f"dynamics.{name}"] = torch.cat(values)
        outputs: Tensor = functional_call(self.whole, parameters, (x,))
        return outputs

    def _weight(self, parts: Sequence[SynchronousGraph]) -> Tensor:
        injection, recurrence, readout, direct = zip(
            *(part.weights_by_edge_set() for part in parts), strict=True
        )
        if self._adds_to is None:
            return torch.cat([*injection, *recurrence, *readout, *direct])
        # Edges from an input to an output that several parts have add up.
        whole = torch.cat([*injection, *recurrence, *readout])
        added = whole.new_zeros(self.whole.graph.num_edges - whole.numel())
        return torch.cat([whole, added.index_add(0, self._adds_to, torch.cat(direct))])

    def _bias(self, parts: Sequence[SynchronousGraph]) -> Tensor:
        hidden, outputs = zip(
            *(
                torch.split(part.bias, [part.graph.num_hidden, part.graph.num_outputs])
                for part in parts
            ),
            strict=True,
        )
        return torch.cat([*hidden, torch.stack(outputs).sum(dim=0)])


def _edges_by_set(graphs: Sequence[UnitGraph]) -> tuple[Tensor, Tensor | None]:
    """All edges, set by set and in a set part by part, as parts list their own weights.

    Returns:
        tuple: The edges, ``[2, E]``; and, where parts have the same edges from inputs to outputs,
        at which of the different ones each adds up.
    """
    num_inputs = graphs[0].num_inputs
    outputs = num_inputs + sum(graph.num_hidden for graph in graphs)
    sets: list[list[Tensor]] = [[], [], [], []]
    begin = num_inputs
    for graph in graphs:
        ends = (
            (graph.inputs, graph.hidden, 0, begin),
            (graph.hidden, graph.hidden, begin, begin),
            (graph.hidden, graph.outputs, begin, outputs),
            (graph.inputs, graph.outputs, 0, outputs),
        )
        for listed, (sources, targets, first_source, first_target) in zip(sets, ends, strict=True):
            edges = EdgeSet.between(graph.edge_index, sources, targets)
            listed.append(torch.stack([edges.source + first_source, edges.target + first_target]))
        begin += graph.num_hidden
    direct, adds_to = torch.unique(torch.cat(sets[3], dim=1), dim=1, return_inverse=True)
    if direct.size(1) == adds_to.numel():
        return torch.cat([*sets[0], *sets[1], *sets[2], *sets[3]], dim=1), None
    return torch.cat([*sets[0], *sets[1], *sets[2], direct], dim=1), adds_to


def _joint_backend(parts: Sequence[SynchronousGraph]) -> str:
    """That of the parts, if it is the same, or the one that computes several as it does each."""
    backends = {part.backend for part in parts}
    if len(backends) > 1 or "auto" in backends:
        return "auto"
    backend, first = backends.pop(), parts[0]
    joint = joint_backend(backend)
    return joint if is_available(joint, first.device, first.dtype) else backend
