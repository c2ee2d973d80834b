"""Reading a trained network: its units, the edges between them and their activations."""

from __future__ import annotations

import copy
import inspect
import operator
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.affine_form import AffineForm
from pyg_modules.nn.traced_network import trace
from pyg_modules.ops.activation import PRELU, activation_of

#: Functions and methods that are activations, and the modules that compute the same.
_FUNCTIONS: dict[Any, type[nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), nn.Tanh),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    F.gelu: nn.GELU,
    F.silu: nn.SiLU,
    F.elu: nn.ELU,
    F.softplus: nn.Softplus,
    F.leaky_relu: nn.LeakyReLU,
    **dict.fromkeys((F.softmax, torch.softmax, "softmax"), nn.Softmax),
    **dict.fromkeys((F.log_softmax, torch.log_softmax, "log_softmax"), nn.LogSoftmax),
}
_ADDITIONS = (operator.add, operator.iadd, torch.add, "add")
_CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)
#: What changes nothing in evaluation, where every sample is a row of numbers.
_SAME = (nn.Identity, _DropoutNd, nn.Flatten)
#: What is left outside at the end.
_FINAL = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
_KNOWN = "Linear, BatchNorm, Dropout, Identity, Flatten, activations, sums and concatenations"
_REASONS = (
    (
        ("LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "GraphNorm", "PairNorm", "Normalize"),
        "it divides by what it finds in each sample, and a unit adds up",
    ),
    (("Attention", "Transformer", "Softmax"), "it multiplies units by each other"),
    (("Conv", "Pool"), "its units share weights"),
    (("RNN", "LSTM", "GRU"), "it reads a sequence"),
    (("Embedding",), "its inputs are no numbers"),
    (("view", "reshape"), "torch.flatten(x, 1) is known, at the start"),
    (("SynchronousGraph",), "it is a unit graph already"),
)


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
        operations = trace(model)
        self._model = model
        self._modules = dict(model.named_modules())
        parameter = self._any_parameter()
        self._device, self._dtype = parameter.device, parameter.dtype
        self._levels: list[_Level] = []
        self._forms: dict[fx.Node, AffineForm] = {}
        (end,) = (node for node in operations.nodes if node.op == "output")
        last = end.args[0]
        if not isinstance(last, fx.Node):
            raise ValueError(
                f"Expected a network of one output (got {type(last).__name__}). Convert the part"
                f" of it that computes one."
            )
        self._last = self._without_final(last)
        self._nodes = _needed(operations, self._last)
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
        if node.target in _ADDITIONS:
            return self._added(node)
        if node.target in _CONCATENATIONS:
            return self._concatenated(node)
        if node.target is F.linear:
            return self._linear(node, *self._bound(F.linear, node)[1:])
        if node.target is F.prelu:
            return self._activated(node, PRELU, self._bound(F.prelu, node)[1])
        # What its attributes are, mypy cannot know.
        module: Any = self._module(node)
        before = self._before(node)
        if is_lazy_module(module):
            self._refuse(node, "it does not know its sizes before a first call")
        if _is(module, nn.Linear):
            return self._linear(node, module.weight, module.bias)
        if _is(module, nn.BatchNorm1d):
            return self._batch_norm(node, module)
        if isinstance(module, nn.Flatten) and not (
            module.start_dim in (1, -1) and module.end_dim in (1, -1)
        ):
            self._refuse(node, "it does not keep samples apart; flatten from dimension 1 on")
        if isinstance(module, _SAME):
            return before
        if getattr(module, "inplace", False):
            self._check_alone(node)
            module = copy.copy(module)
            module.inplace = False
        if isinstance(module, nn.PReLU):
            return self._activated(node, PRELU, module.weight)
        if isinstance(module, nn.LeakyReLU):
            return self._activated(node, PRELU, torch.tensor([module.negative_slope], device="cpu"))
        try:
            name = activation_of(module)
        except ValueError:
            self._refuse(node)
        return self._activated(node, name)

    def _linear(self, node: fx.Node, weight: Tensor, bias: Tensor | None = None) -> AffineForm:
        before = self._before(node)
        self._check_width(node, before, weight.size(1))
        if not before.has_one_edge_each:
            before = self._new_units(before, "identity")
        return before.linear(weight, bias)

    def _batch_norm(self, node: fx.Node, norm: _BatchNorm) -> AffineForm:
        before = self._before(node)
        if norm.running_mean is None:
            self._refuse(
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

    def _added(self, node: fx.Node) -> AffineForm:
        terms = node.args[:2]
        if len(node.args) != 2 or node.kwargs or not all(isinstance(t, fx.Node) for t in terms):
            self._refuse(node, "it is not the sum of two outputs of layers")
        if node.target is operator.iadd:
            self._check_alone(node)
        forms = [self._forms[term] for term in terms if isinstance(term, fx.Node)]
        if forms[0].width != forms[1].width:
            self._refuse(node, f"its terms are of {forms[0].width} and {forms[1].width} numbers")
        return AffineForm.added(forms)

    def _concatenated(self, node: fx.Node) -> AffineForm:
        tensors, dim = self._bound(lambda tensors, dim=0: (tensors, dim), node)
        if dim not in (1, -1) or not all(isinstance(one, fx.Node) for one in tensors):
            self._refuse(node, "it does not concatenate features, at dim=1 or dim=-1")
        return AffineForm.concatenated([self._forms[one] for one in tensors])

    def _new_units(self, sums: AffineForm, name: str, slope: Tensor | None = None) -> AffineForm:
        depth = 1 + max(0 if level == 0 else self._levels[level - 1].depth for level in sums.sums)
        slopes = sums.bias.new_ones(sums.width)
        if slope is not None:
            slopes = slopes * slope.to(slopes)
        self._levels.append(_Level(sums, name, slopes, depth))
        return AffineForm.of_level(len(self._levels), sums.width, self._device)

    # Nodes ###################################################################################

    def _before(self, node: fx.Node) -> AffineForm:
        first = self._input_of(node)
        if first not in self._forms:
            self._refuse(node, "it is not computed from the output of a layer")
        return self._forms[first]

    def _input_of(self, node: fx.Node) -> Any:
        return node.args[0] if node.args else next(iter(node.kwargs.values()), None)

    def _module(self, node: fx.Node) -> nn.Module:
        """The module that ``node`` calls, or one that computes what it does."""
        if node.op == "call_module":
            return self._modules[str(node.target)]
        if node.target is F.dropout:
            if self._bound(F.dropout, node)[2]:
                self._refuse(node, "it drops in evaluation too: pass training=self.training")
            return nn.Identity()
        if node.target in (torch.flatten, "flatten"):
            start = self._bound(lambda x, start_dim=0, end_dim=-1: (x, start_dim, end_dim), node)
            return nn.Flatten(*start[1:])
        kind = _FUNCTIONS.get(node.target)
        if kind is None:
            self._refuse(node)
        known = inspect.signature(kind).parameters
        settings = dict(zip(known, node.args[1:], strict=False)) | node.kwargs
        called: nn.Module = kind(**{key: value for key, value in settings.items() if key in known})
        return called

    def _bound(self, function: Callable[..., Any], node: fx.Node) -> list[Any]:
        """The arguments of ``node`` in the order of ``function``; its parameters as tensors."""
        bound = inspect.signature(function).bind(*node.args, **node.kwargs)
        bound.apply_defaults()
        return [
            self._attribute(one) if isinstance(one, fx.Node) and one.op == "get_attr" else one
            for one in bound.arguments.values()
        ]

    def _attribute(self, node: fx.Node) -> Any:
        return operator.attrgetter(str(node.target))(self._model)

    def _check_width(self, node: fx.Node, before: AffineForm, width: int) -> None:
        if before.width != width:
            raise ValueError(
                f"Expected matching levels (got {before.width} features into {width} of"
                f" {self._name(node)})."
            )

    def _check_alone(self, node: fx.Node) -> None:
        """Refuse what changes its input in place, if others read that."""
        changed = self._input_of(node)
        while isinstance(changed, fx.Node):
            if len(changed.users) > 1:
                self._refuse(node, "it changes in place what others read; use inplace=False")
            is_view = changed.op == "call_module" and isinstance(
                self._modules[str(changed.target)], _SAME
            )
            changed = self._input_of(changed) if is_view else None

    def _refuse(self, node: fx.Node, reason: str | None = None) -> NoReturn:
        name = self._name(node)
        for names, known in _REASONS:
            if reason is None and any(part in name for part in names):
                reason = known
        raise ValueError(
            f"Expected a network of {_KNOWN} (got {name}: {reason or 'it is none of them'})."
            f" Convert the parts before and after it, and leave it between them."
        )

    def _name(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"{self._modules[str(node.target)]!r} at {str(node.target)!r}"
        return getattr(node.target, "__name__", str(node.target))

    # Ends ####################################################################################

    def _any_parameter(self) -> Tensor:
        parameters = list(self._model.parameters())
        kinds = {(one.dtype, one.device) for one in parameters}
        if len(kinds) != 1:
            raise ValueError(
                f"Expected a network with parameters of one dtype on one device (got"
                f" {len(kinds)} kinds). Use model.to(device, dtype)."
            )
        return parameters[0]

    def _without_final(self, last: fx.Node) -> fx.Node:
        """What the outputs are made of before the last layer makes probabilities of them."""
        if last.op == "placeholder" or last.target in (*_ADDITIONS, *_CONCATENATIONS):
            return last
        if last.op != "call_module" and last.target not in _FUNCTIONS:
            return last
        module = self._module(last)
        before = self._input_of(last)
        if isinstance(module, nn.Identity | _DropoutNd):
            return self._without_final(before)
        if not isinstance(module, _FINAL):
            return last
        warnings.warn(
            f"The last step of the network, {module!r}, is left outside: the layer returns what"
            f" goes into it, as losses of torch want it. For the same outputs, use"
            f" torch.nn.Sequential(layer, torch.nn.{module!r}).",
            stacklevel=4,
        )
        return self._without_final(before)

    def _find_num_inputs(self) -> int:
        """What the first layer says that reads the inputs as they are, or one by one."""
        as_input = set()
        for node in self._nodes:
            if node.op == "placeholder":
                as_input.add(node)
                continue
            if self._input_of(node) not in as_input:
                continue
            if node.target is F.linear:
                return int(self._bound(F.linear, node)[1].size(1))
            if node.op == "call_module" or node.target in _FUNCTIONS:
                module: Any = self._module(node)
                if is_lazy_module(module):
                    self._refuse(node, "it does not know its sizes before a first call")
                if _is(module, nn.Linear):
                    return int(module.in_features)
                if _is(module, nn.BatchNorm1d):
                    return int(module.num_features)
                as_input.add(node)
        raise ValueError(
            "Expected a network that begins with a Linear or a BatchNorm, which say how many inputs"
            " there are (got none)."
        )


def is_lazy_module(module: nn.Module) -> bool:
    """Whether parameters of ``module`` have no sizes yet."""
    return any(is_lazy(one) for one in (*module.parameters(), *module.buffers()))


def _is(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether ``module`` computes what a ``kind`` does, be it parametrized."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _needed(operations: fx.Graph, last: fx.Node) -> list[fx.Node]:
    """The nodes that ``last`` is computed from, in order, without parameters."""
    needed, waiting = set(), [last]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return [node for node in operations.nodes if node in needed and node.op != "get_attr"]
