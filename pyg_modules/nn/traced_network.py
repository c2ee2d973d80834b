"""A network as ``torch.fx`` sees it, in evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor, fx, nn

from pyg_modules.nn.evaluating import evaluating
from pyg_modules.nn.network_operations import IN_PLACE, is_lazy_module

#: Modules of PyG whose forward pass is made of what is known; others are known by their names.
_TRANSPARENT = (
    torch_geometric.nn.MLP,
    torch_geometric.nn.Linear,
    torch_geometric.nn.BatchNorm,
)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


class _Proxy(fx.Proxy):
    """Records what changes a tensor that others may read, where torch.fx sees a new tensor."""


def _recorded(change: Callable[..., Any]) -> Callable[..., fx.Proxy]:
    return lambda self, other: self.tracer.create_proxy("call_function", change, (self, other), {})


for _change in IN_PLACE:
    setattr(_Proxy, f"__{_change.__name__}__", _recorded(_change))


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            is_own = a in self.tensor_attrs or any(a is one for one in self.root.buffers())
            if not is_own:
                return a  # Tracers would make it an attribute of the model, which is left alone.
        return super().create_arg(a)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _TRANSPARENT):
            return False
        is_of_pyg = type(m).__module__.startswith("torch_geometric.")
        return is_of_pyg or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.Graph:
    """The operations of ``model`` in evaluation, as a graph.

    Raises:
        TypeError: If it is no module.
        ValueError: If it has hooks, more than one input, no sizes yet, or steps that cannot be
            traced.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"Expected model to be a torch.nn.Module (got {type(model).__name__})."
            " Pass the network itself, e.g. torch.nn.Sequential(...)."
        )
    for path, module in model.named_modules():
        if is_lazy_module(module):
            raise ValueError(
                f"Expected a network that knows its sizes (got {type(module).__name__} at {path!r},"
                f" which learns them from a first call). Call it once: model(x)."
            )
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise ValueError(
                f"Expected a network without hooks (got some on {type(module).__name__} at"
                f" {path!r}): what they do is not seen. Remove them first, e.g. by"
                f" torch.nn.utils.prune.remove(module, 'weight')."
            )
        if "forward" in vars(module):
            raise ValueError(
                f"Expected modules that compute what their class does (got a"
                f" {type(module).__name__} at {path!r} with a forward of its own): what it does is"
                f" not seen. Write a class with this forward."
            )
    parameters = list(inspect.signature(model.forward).parameters.values())
    required = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if len(required) != 1:
        raise ValueError(
            f"Expected a network of one input (got {type(model).__name__} with"
            f" {', '.join(required) or 'none'}). Convert the part of it that reads"
            f" one; of a wrapper, such as DataParallel, the network in it."
        )
    defaults: dict[str, Any] = {
        one.name: one.default for one in parameters if one.default is not one.empty
    }
    try:
        with torch.random.fork_rng(devices=[]), evaluating(model):
            before = torch.random.get_rng_state()
            graph = _Tracer().trace(model, concrete_args=defaults)
            draws = not torch.equal(torch.random.get_rng_state(), before)
    # Whatever the code of a network raises when it meets a stand-in for numbers.
    except Exception as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"Expected a network whose operations do not depend on its input (got"
            f" {type(model).__name__}: {reason}). Take the parts of it that torch.fx can trace, and"
            f" convert each."
        ) from error
    if draws:
        raise ValueError(
            f"Expected a network that draws nothing in evaluation (got {type(model).__name__}, in"
            f" which random numbers would be constants). Draw them where self.training, or outside."
        )
    return graph
