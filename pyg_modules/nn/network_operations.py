"""What a traced operation of a network is, and why some are refused."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from pyg_modules.ops.activation import ACTIVATIONS

#: Functions and methods that are activations, and the modules that compute the same.
FUNCTIONS: dict[Any, type[nn.Module]] = {
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
#: Operators that write into their left side.
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)
#: What changes nothing in evaluation, where every sample is a row of numbers.
SAME = (nn.Identity, _DropoutNd, nn.Flatten)
_VIEWS = (F.dropout, torch.flatten, "flatten")
#: What is left outside at the end.
FINAL = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
_KNOWN = (
    "Linear, BatchNorm, Dropout, Identity, Flatten, activations, sums, constants and concatenations"
)
#: What torch calls an activation, as a module or a function.
_ACTIVATIONS = {name.lower().replace("_", "") for name in nn.modules.activation.__all__}
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


class NetworkOperations:
    """The operations of a network.

    Args:
        model (torch.nn.Module): The network.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules: dict[str, nn.Module] = dict(model.named_modules())

    def input_of(self, node: fx.Node) -> Any:
        """Its first argument, the tensor that it works on."""
        return node.args[0] if node.args else next(iter(node.kwargs.values()), None)

    def module(self, node: fx.Node) -> nn.Module:
        """The module that ``node`` calls, or one that computes what it does."""
        if node.op == "call_module":
            return self._modules[str(node.target)]
        if node.target is F.dropout:
            if self.arguments(node, "input", p=0.5, training=True)[2]:
                self.refuse(node, "it drops in evaluation too: pass training=self.training")
            return nn.Identity()
        if node.target in (torch.flatten, "flatten"):
            return nn.Flatten(*self.arguments(node, "input", start_dim=0, end_dim=-1)[1:])
        kind = FUNCTIONS.get(node.target)
        if kind is None:
            self.refuse(node)
        known = inspect.signature(kind).parameters
        settings = dict(zip(known, node.args[1:], strict=False)) | node.kwargs
        called: nn.Module = kind(**{key: value for key, value in settings.items() if key in known})
        return called

    def arguments(self, node: fx.Node, *names: str, **defaults: Any) -> list[Any]:
        """The arguments of these names; parameters of the network as tensors."""
        order = (*names, *defaults)
        found = defaults | dict(zip(order, node.args, strict=False)) | node.kwargs
        return [self.value(found.get(name)) for name in order]

    def value(self, found: Any) -> Any:
        """An argument as it is; a parameter or a buffer of the network as a tensor."""
        if isinstance(found, fx.Node) and found.op == "get_attr":
            return operator.attrgetter(str(found.target))(self._model)
        return found

    def check_in_place(self, node: fx.Node, is_needed: bool) -> None:
        """Refuse what changes its input in place, if others read that.

        Args:
            node (torch.fx.Node): Any operation.
            is_needed (bool): Whether its result leads to the output. If not, only the change can.
        """
        if "out" in node.kwargs:
            self.refuse(node, "it writes into a tensor; take its result, without out=")
        if not self._changes_in_place(node):
            return
        if not is_needed:
            self.refuse(node, "it changes in place what others read; use its result")
        changed = self.input_of(node)
        while isinstance(changed, fx.Node):
            if len(changed.users) > 1:
                self.refuse(node, "it changes in place what others read; use inplace=False")
            is_view = changed.target in _VIEWS or (
                changed.op == "call_module" and isinstance(self.module(changed), SAME)
            )
            changed = self.input_of(changed) if is_view else None

    def _changes_in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            module = self.module(node)
            return not isinstance(module, SAME) and bool(getattr(module, "inplace", False))
        if not node.op.startswith("call"):
            return False
        name, target = self.name(node), node.target
        if target in IN_PLACE or (name.endswith("_") and not name.endswith("__")):
            return True
        given: Mapping[str, Any] = node.kwargs
        if inspect.isfunction(target):  # What is built into torch has no such argument.
            given = inspect.signature(target).bind(*node.args, **given).arguments
        return target is not F.dropout and bool(given.get("inplace", False))

    def refuse(self, node: fx.Node, reason: str | None = None) -> NoReturn:
        """Raise a ``ValueError`` about it.

        Args:
            node (torch.fx.Node): The operation.
            reason (str, optional): Why. (default: what is known of its kind)
        """
        name = self.name(node)
        for names, known in _REASONS:
            if reason is None and any(part in name for part in names):
                reason = known
        if reason is None and name.partition("(")[0].lower().replace("_", "") in _ACTIVATIONS:
            reason = (
                f"activations are {', '.join(ACTIVATIONS)}, all with torch's defaults, or prelu"
            )
        raise ValueError(
            f"Expected a network of {_KNOWN} (got {name}: {reason or 'it is none of them'})."
            f" Convert the parts before and after it, and leave it between them."
        )

    def name(self, node: fx.Node) -> str:
        """What errors call it."""
        if node.op == "call_module":
            return f"{self._modules[str(node.target)]!r} at {str(node.target)!r}"
        return getattr(node.target, "__name__", str(node.target))


def is_lazy_module(module: nn.Module) -> bool:
    """Whether parameters of ``module`` itself have no sizes yet."""
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return any(is_lazy(one) for one in own)


def computes_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether ``module`` computes what a ``kind`` does, be it parametrized."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def needed_for(operations: fx.Graph, last: fx.Node) -> list[fx.Node]:
    """The nodes that ``last`` is computed from, in order, without parameters."""
    needed, waiting = set(), [last]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return [node for node in operations.nodes if node in needed and node.op != "get_attr"]
