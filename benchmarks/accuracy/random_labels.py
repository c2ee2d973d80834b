"""What learned modules are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_modules import UnitGraph


def random_labels(graph: UnitGraph, num_modules: int, seed: int) -> Tensor:
    """Hidden units in modules at random, of equal sizes; all others are shared."""
    labels = torch.full((graph.num_units,), -1)
    order = torch.randperm(graph.num_hidden, generator=torch.Generator().manual_seed(seed))
    labels[graph.num_inputs + order] = torch.arange(graph.num_hidden) % num_modules
    return labels
