"""Reading a trained network: its units, the edges between them and their activations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.affine_form import AffineForm
from pyg_modules.nn.network_arithmetic import ARITHMETIC, NEGATIONS, Term, combined
from pyg_modules.nn.network_operations import (
    CONCATENATIONS,
    FINAL,
    FUNCTIONS,
    SAME,
    NetworkOperations,
    computes_as,
    needed_for,
)
from pyg_modules.nn.traced_network import trace
from pyg_modules.ops.activation import PRELU, activation_of


class NetworkParts(NamedTuple):
    """A network as a unit graph.

    Args:
        graph (UnitGraph): Its units and edges.
        weight (Tensor): In the order of the edges, ``[E]``.
        bias (Tensor): Of hidden and output units, ``[N - I]``.
        activation (list of str): Of every hidden unit.
        slope (Tensor): At negative sums, of units with learned slopes, ``[H]``.
        num_levels (int): How many updates lead from the inputs to the last hidden unit.
    """

    graph: UnitGraph
    weight: Tensor
    bias: Tensor
    activation: list[str]
    slope: Tensor
    num_levels: int


class _Level(NamedTuple):
    """Hidden units that are made together."""

    sums: AffineForm
    activation: str
    slope: Tensor
    depth: int


class NetworkReader:
    """Reads the operations of a network one after the other.

    At every place of the network there are weighted sums of units that are known already. An
    activation makes units of them; so does a linear layer that they go into, of units without an
    activation, unless there is nothing to add up.

    Args:
        model (torch.nn.Module): The network; see :meth:`SynchronousGraph.from_module`.
    """

    def __init__(self, model: nn.Module) -> None:
        graph = trace(model)
        self._model = model
        self._operations = NetworkOperations(model)
        parameter = self._any_parameter()
        self._device, self._dtype = parameter.device, parameter.dtype
        self._levels: list[_Level] = []
        self._forms: dict[fx.Node, AffineForm] = {}
        (end,) = (node for node in graph.nodes if node.op == "output")
        last = end.args[0]
        if not isinstance(last, fx.Node):
            raise ValueError(
                f"Expected a network of one output (got {type(last).__name__}). Convert the part"
                f" of it that computes one."
            )
        self._last = self._without_final(last)
        needed = needed_for(graph, last)
        for node in graph.nodes:
            self._operations.check_in_place(node, is_needed=node in needed)
        self._nodes = needed_for(graph, self._last)
        self._num_inputs = self._find_num_inputs()

    @torch.no_grad()
    def read(self) -> NetworkParts:
        """The network as a unit graph.

        Raises:
            ValueError: If something in it is no weighted sum of units and no activation.
        """
        for node in self._nodes:
            self._forms[node] = self._form(node)
        rows = [level.sums for level in self._levels] + [self._forms[self._last]]
        sizes = [self._num_inputs, *(form.width for form in rows)]
        starts = torch.tensor([0, *sizes], device="cpu").cumsum(0).tolist()
        edges, weights = [], []
        for number, form in enumerate(rows):
            levels = sorted(form.sums)
            is_edge = torch.cat([form.sums[level].is_edge for level in levels], dim=1)
            sources = torch.cat(
                [torch.arange(starts[level], starts[level + 1], device="cpu") for level in levels]
            )
            # By target, then source, as in a layered graph.
            target, column = is_edge.cpu().nonzero(as_tuple=True)
            edges.append(torch.stack([sources[column], target + starts[number + 1]]))
            weight = torch.cat([form.sums[level].weight for level in levels], dim=1)
            weights.append(weight[is_edge])
        names = [level.activation for level in self._levels for _ in range(level.sums.width)]
        slopes = [level.slope for level in self._levels]
        empty = torch.zeros(0, dtype=torch.float64, device=self._device)
        return NetworkParts(
            UnitGraph(torch.cat(edges, dim=1), starts[-1], sizes[0], sizes[-1]),
            torch.cat(weights).to(self._dtype),
            torch.cat([form.bias for form in rows]).to(self._dtype),
            names,
            torch.cat([empty, *slopes]).to(self._dtype),
            max((level.depth for level in self._levels), default=0),
        )

    # Operations ##############################################################################

    def _form(self, node: fx.Node) -> AffineForm:
        if node.op == "placeholder":
            return AffineForm.of_level(0, self._num_inputs, self._device)
        if node.target in ARITHMETIC:
            return self._combined(node)
        if node.target in NEGATIONS:
            return self._before(node).scaled(-1.0)
        if node.target in CONCATENATIONS:
            return self._concatenated(node)
        if node.target is F.linear:
            return self._linear(
                node, *self._operations.arguments(node, "input", "weight", bias=None)[1:]
            )
        if node.target is F.prelu:
            return self._activated(
                node, PRELU, self._operations.arguments(node, "input", "weight")[1]
            )
        # What its attributes are, mypy cannot know.
        module: Any = self._operations.module(node)
        before = self._before(node)
        if computes_as(module, nn.Linear):
            return self._linear(node, module.weight, module.bias)
        if computes_as(module, nn.BatchNorm1d):
            return self._batch_norm(node, module)
        if isinstance(module, nn.Flatten) and not (
            module.start_dim in (1, -1) and module.end_dim in (1, -1)
        ):
            self._operations.refuse(node, "samples do not stay apart; use Flatten()")
        if isinstance(module, SAME):
            return before
        if isinstance(module, nn.PReLU):
            return self._activated(node, PRELU, module.weight)
        if isinstance(module, nn.LeakyReLU):
            return self._activated(node, PRELU, before.bias.new_full((1,), module.negative_slope))
        try:
            name = activation_of(module)
        except ValueError:
            self._operations.refuse(node)
        return self._activated(node, name)

    def _linear(self, node: fx.Node, weight: Tensor, bias: Tensor | None = None) -> AffineForm:
        before = self._before(node)
        if not isinstance(weight, Tensor):
            self._operations.refuse(node, "its weight is computed; make it a parametrization")
        self._check_width(node, before, weight.size(1))
        if not before.has_one_edge_each:
            before = self._new_units(before, "identity")
        return before.linear(weight, bias)

    def _batch_norm(self, node: fx.Node, norm: _BatchNorm) -> AffineForm:
        before = self._before(node)
        if norm.running_mean is None:
            self._operations.refuse(
                node,
                "without running statistics it computes with those of the batch, in evaluation too",
            )
        self._check_width(node, before, norm.num_features)
        return before.batch_norm(norm)

    def _activated(self, node: fx.Node, name: str, slope: Tensor | None = None) -> AffineForm:
        before = self._before(node)
        if slope is not None and slope.numel() not in (1, before.width):
            self._check_width(node, before, slope.numel())
        return self._new_units(before, name, slope)

    def _combined(self, node: fx.Node) -> AffineForm:
        if len(node.args) != 2 or node.kwargs:
            self._operations.refuse(node, "it is not of two terms alone")
        left, right = (self._term(node, term) for term in node.args)
        kind = ARITHMETIC[node.target]
        return combined(kind, left, right, lambda why: self._operations.refuse(node, why))

    def _term(self, node: fx.Node, term: Any) -> Term:
        """What is known of a term, or its constant value, in double precision."""
        if isinstance(term, fx.Node) and term in self._forms:
            return self._forms[term]
        value = self._operations.value(term)
        if not isinstance(value, Tensor | float | int):
            self._operations.refuse(node, "its terms are neither outputs of layers nor constants")
        return torch.as_tensor(value, dtype=torch.float64, device=self._device)

    def _concatenated(self, node: fx.Node) -> AffineForm:
        tensors, dim = self._operations.arguments(node, "tensors", dim=0)
        if dim not in (1, -1) or not self._are_known(tensors):
            self._operations.refuse(node, "it does not concatenate features, at dim=1 or dim=-1")
        return AffineForm.concatenated([self._forms[one] for one in tensors])

    def _new_units(self, sums: AffineForm, name: str, slope: Tensor | None = None) -> AffineForm:
        depth = 1 + max(0 if level == 0 else self._levels[level - 1].depth for level in sums.sums)
        slopes = sums.bias.new_ones(sums.width)
        if slope is not None:
            slopes = slopes * slope.to(slopes)
        self._levels.append(_Level(sums, name, slopes, depth))
        return AffineForm.of_level(len(self._levels), sums.width, self._device)

    def _are_known(self, nodes: Sequence[Any]) -> bool:
        return all(isinstance(one, fx.Node) and one in self._forms for one in nodes)

    def _before(self, node: fx.Node) -> AffineForm:
        first = self._operations.input_of(node)
        if first not in self._forms:
            self._operations.refuse(node, "it is not computed from the output of a layer")
        return self._forms[first]

    def _check_width(self, node: fx.Node, before: AffineForm, width: int) -> None:
        if before.width != width:
            raise ValueError(
                f"Expected matching levels (got {before.width} features into {width} of"
                f" {self._operations.name(node)})."
                " Correct the sizes; model(x) fails in the same way."
            )

    # Ends ####################################################################################

    def _any_parameter(self) -> Tensor:
        parameters = list(self._model.parameters())
        kinds = {(one.dtype, one.device) for one in parameters}
        if len(kinds) != 1 or not parameters[0].is_floating_point() or parameters[0].is_meta:
            found = ", ".join(f"{dtype} on {device}" for dtype, device in kinds)
            raise ValueError(
                f"Expected a network with real parameters of one dtype on one device (got"
                f" {found or 'none'}). Use model.to(device, dtype), or a network with a Linear."
            )
        return parameters[0]

    def _without_final(self, last: fx.Node) -> fx.Node:
        """What the outputs are made of before a last step makes probabilities of them."""
        while last.op == "call_module" or last.target in FUNCTIONS:
            module = self._operations.module(last)
            if isinstance(module, FINAL):
                warnings.warn(
                    f"The last step of the network, {module!r}, is left outside: the layer returns"
                    f" what goes into it, as losses of torch want it. For the same outputs, use"
                    f" torch.nn.Sequential(layer, torch.nn.{module!r}).",
                    stacklevel=4,
                )
            elif not isinstance(module, nn.Identity | _DropoutNd):
                break
            last = self._operations.input_of(last)
        return last

    def _find_num_inputs(self) -> int:
        """What the first layer says that reads the inputs as they are, or one by one."""
        as_input = set()
        for node in self._nodes:
            if node.op == "placeholder":
                as_input.add(node)
                continue
            if as_input.isdisjoint(node.all_input_nodes):
                continue
            if node.target in ARITHMETIC and len(set(node.all_input_nodes) & set(self._nodes)) > 1:
                continue
            if node.target in CONCATENATIONS:
                continue
            if node.target is F.linear:
                weight = self._operations.arguments(node, "input", "weight")[1]
                if isinstance(weight, Tensor):
                    return weight.size(1)
                self._operations.refuse(node, "its weight is computed; make it a parametrization")
            if node.target not in (F.prelu, *ARITHMETIC, *NEGATIONS):
                module: Any = self._operations.module(node)
                if computes_as(module, nn.Linear):
                    return int(module.in_features)
                if computes_as(module, nn.BatchNorm1d):
                    return int(module.num_features)
            as_input.add(node)
        raise ValueError(
            "Expected a network that begins with a Linear or a BatchNorm, which say how many inputs"
            " there are (got none)."
            " Convert the part from its first Linear on."
        )
