from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCN, GCNConv, MessagePassing, Sequential, SumAggregation

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.messages import has_forward_hooks
from pyg_modules.ops.activation import activation_of

# What a convolution computes with; one of its own would be another function.
_METHODS = {"forward", "propagate", "message", "message_and_aggregate", "aggregate", "update"}


class Convolutions(NamedTuple):
    """A stack of convolutions as a layered unit graph.

    Args:
        graph (UnitGraph): Its levels.
        weight (Tensor): The weights u of its edges, ``[E]``.
        bias (Tensor, optional): Of hidden and output units; ``None`` if no convolution has one.
        activation (str or list of str): That of all hidden units, or of each.
        normalize (bool): Whether edge weights of the data are normalized.
        add_self_loops (bool): Whether nodes get self-loops.
        num_levels (int): Number of hidden levels.
    """

    graph: UnitGraph
    weight: Tensor
    bias: Tensor | None
    activation: str | list[str]
    normalize: bool
    add_self_loops: bool
    num_levels: int


def read_convolutions(convs: nn.Module | Iterable[nn.Module]) -> Convolutions:
    """What :meth:`SynchronousConv.from_conv` takes, as a graph."""
    layers: list[GCNConv] = []
    names: list[str | None] = []  # Of the activation after each of them.
    listed = _listed(convs)
    for module in listed:
        if isinstance(module, nn.Dropout | nn.Identity):
            continue
        if type(module) is GCNConv:
            layers.append(module)
            names.append(None)
            continue
        if isinstance(module, MessagePassing | nn.Sequential):
            raise ValueError(
                f"Expected GCNConv and activations alone (got {module!r}). Train GCNConv, none of a"
                f" subclass, and give them one after the other."
            )
        if not layers or names[-1] is not None:
            raise ValueError(
                f"Expected an activation after a GCNConv (got {module!r} elsewhere). Keep it"
                f" outside of the layer."
            )
        names[-1] = _activation(module)
    if not layers:
        raise ValueError(
            "Expected at least one GCNConv (got none). Give the convolutions, in their order."
        )
    if names[-1] is not None:
        raise ValueError(
            f"Expected a GCNConv at the end (got {names[-1]!r} after it): outputs have no"
            f" activation. Keep it outside of the layer."
        )
    _check_alike(layers)
    for read in (convs, *listed):
        if isinstance(read, nn.Module):
            _check_hooks(read)
    sizes = [layers[0].in_channels, *(conv.out_channels for conv in layers)]
    for before, conv in zip(sizes[1:], layers[1:], strict=False):
        if conv.in_channels != before:
            raise ValueError(
                f"Expected as many inputs as the convolution before has outputs, {before} (got"
                f" {conv!r})."
                " Give them in the order in which they compute."
            )
    graph, weight = UnitGraph.layered(sizes), layers[0].lin.weight.detach()
    none = activation_of(nn.Identity())
    hidden = [
        name or none for name, size in zip(names, sizes[1:-1], strict=False) for _ in range(size)
    ]
    return Convolutions(
        graph,
        torch.cat([conv.lin.weight.detach().flatten() for conv in layers]),
        _biases(layers, weight),
        hidden[0] if len(set(hidden)) == 1 else hidden or none,
        bool(layers[0].normalize),
        bool(layers[0].add_self_loops),
        len(layers) - 1,
    )


def _listed(convs: object) -> list[nn.Module]:
    # A subclass may compute something else of the same modules.
    if isinstance(convs, GCN) and type(convs).forward is GCN.forward:
        norms = [norm for norm in convs.norms if not isinstance(norm, nn.Identity)]
        if norms or getattr(convs, "jk_mode", None) is not None:
            raise ValueError(
                f"Expected a GCN without norm and without jk (got {norms[0] if norms else 'jk'})."
                " Train one without, and convert that."
            )
        act = nn.Identity() if convs.act is None else convs.act
        listed = [module for conv in convs.convs for module in (conv, act)]
        return listed if hasattr(convs, "lin") else listed[:-1]
    if isinstance(convs, GCNConv):
        return [convs]
    if isinstance(convs, Sequential):
        return _in_line(convs)
    is_other = isinstance(convs, nn.Module) and not isinstance(convs, nn.Sequential | nn.ModuleList)
    if is_other or not isinstance(convs, Iterable):
        raise TypeError(
            f"Expected GCNConv and activations, in an iterable, a Sequential or a GCN (got"
            f" {type(convs).__name__})."
            " Give a list of them."
        )
    return list(convs)


def _in_line(model: Sequential) -> list[nn.Module]:
    """The modules of a ``Sequential`` of PyG, if each reads what the one before returned."""
    current, *inputs = model.signature.param_dict
    listed: list[nn.Module] = []
    edges: list[str] | None = None
    for child in model._children:
        module = getattr(model, child.name)
        read, returned = list(child.param_names), list(child.return_names)
        expected = [current]
        if isinstance(module, GCNConv):
            edges = read[1:] if edges is None else edges
            expected += edges
        is_in_line = read == expected and len(returned) == 1 and returned[0] not in inputs
        if not isinstance(module, nn.Module) or not is_in_line:
            raise ValueError(
                f"Expected modules of which each reads what the one before returned, and"
                f" convolutions that read the same edges (got {module!r}, which reads"
                f" {', '.join(read)} and returns {', '.join(returned)}). Pass those that are a"
                f" stack, in a list."
            )
        listed.append(module)
        current = returned[0]
    return listed


def _activation(module: object) -> str:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"Expected modules, e.g. torch.nn.ReLU() (got {type(module).__name__})."
            " Use the module of a function."
        )
    try:
        return activation_of(module)
    except ValueError as error:
        raise ValueError(
            f"Expected GCNConv and activations alone (got {module!r}): {error}"
        ) from error


def _has_own_methods(conv: GCNConv) -> bool:
    """Whether it computes with others than those of its class, one of which explainers leave."""
    own = vars(conv)
    of_class = list(vars(type(conv)).values())
    return any(
        getattr(own[name], "__func__", None) not in of_class for name in _METHODS & own.keys()
    )


def _check_hooks(module: nn.Module) -> None:
    """Raise if hooks, of torch or of PyG, may change what ``module`` computes."""
    for part in module.modules():
        if has_forward_hooks(part):
            raise ValueError(
                f"Expected GCNConv without hooks (got some on {part!r}): what they do is not"
                f" seen. Remove them first."
            )


def _check_alike(layers: list[GCNConv]) -> None:
    first = layers[0]
    for conv in layers:
        if conv.in_channels == -1 or isinstance(conv.lin.weight, nn.UninitializedParameter):
            raise ValueError(f"Expected parameters (got {conv!r} without). Call the model once.")
        if conv.improved or conv.flow != "source_to_target":
            raise ValueError(
                f"Expected GCNConv with improved=False and flow='source_to_target' (got"
                f" improved={conv.improved} and flow={conv.flow!r}): self-loops of weight 2 are"
                f" another graph."
                " Train it with the defaults, and convert that."
            )
        if type(conv.aggr_module) is not SumAggregation:
            raise ValueError(
                f"Expected GCNConv with aggr='add' (got {conv.aggr!r}): a layer adds up what"
                f" neighbours have."
                " Train it with aggr='add', and convert that."
            )
        if _has_own_methods(conv) or getattr(conv.lin, "bias", None) is not None:
            raise ValueError(
                f"Expected GCNConv as PyG makes it (got {conv!r} with a method or a lin of its"
                f" own). Train one without, and convert that."
            )
        for name in ("normalize", "add_self_loops"):
            if bool(getattr(conv, name)) != bool(getattr(first, name)):
                raise ValueError(
                    f"Expected the same {name} in all convolutions (got {getattr(first, name)} and"
                    f" {getattr(conv, name)}): a layer has one adjacency matrix."
                    " Convert each of them into a layer of its own."
                )
    if not first.normalize and any(conv.add_self_loops for conv in layers):
        raise ValueError(
            "Expected no self-loops without normalize (got both)."
            " Use GCNConv(..., add_self_loops=False), or normalize=True."
        )


def _biases(layers: list[GCNConv], like: Tensor) -> Tensor | None:
    if all(conv.bias is None for conv in layers):
        return None
    biases = [
        like.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        for conv in layers
    ]
    return torch.cat(biases)
