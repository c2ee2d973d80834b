"""What the organised network is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import SHARED
from pyg_modules.partition.rounding import balanced_labels


def mlp_of_size(num_parameters: int, num_features: int, num_classes: int) -> nn.Sequential:
    """The MLP with one hidden ReLU layer whose number of parameters is closest to a given one.

    Args:
        num_parameters (int): Number of parameters to come close to.
        num_features (int): Number of input features.
        num_classes (int): Number of classes.
    """
    width = round((num_parameters - num_classes) / (num_features + 1 + num_classes))
    width = max(1, width)
    return nn.Sequential(nn.Linear(num_features, width), nn.ReLU(), nn.Linear(width, num_classes))


def num_parameters(model: nn.Module) -> int:
    """How many numbers ``model`` learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def random_balanced_labels(graph: UnitGraph, num_modules: int, scope: str = "hidden") -> Tensor:
    """Units dealt to modules at random, ``[N]``, −1 for those that are not partitioned.

    Args:
        graph (UnitGraph): The units.
        num_modules (int): Number of modules; their numbers of hidden units differ by one at most,
            and so do those of inputs and of outputs.
        scope (str, optional): Which units are partitioned, see :class:`PartitionRegularizer`.
            (default: ``"hidden"``)
    """
    labels = torch.full((graph.num_units,), SHARED, device="cpu")
    kinds = [graph.hidden]
    kinds += [] if scope == "hidden" else [graph.inputs]
    kinds += [graph.outputs] if scope == "all" else []
    for kind in kinds:
        labels[kind.start : kind.stop] = balanced_labels(
            torch.rand(len(kind), num_modules, device="cpu")
        )
    return labels
