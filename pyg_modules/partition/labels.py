"""Hard labels: one module per unit, −1 for units that all modules share."""

from __future__ import annotations

import torch
from torch import Tensor

SHARED = -1


def check_labels(labels: Tensor, num_units: int) -> int:
    """The number of modules in ``labels``.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.
        num_units (int): Number of units :math:`N`.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If it has another length, another negative value or a module without units.
    """
    if not isinstance(labels, Tensor) or labels.dtype not in (torch.int64, torch.int32):
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(
            f"Expected labels to be a LongTensor (got {got}). Use torch.as_tensor(labels).long()."
        )
    if labels.shape != (num_units,):
        raise ValueError(
            f"Expected labels of shape [{num_units}], one per unit, inputs and outputs included"
            f" (got {list(labels.shape)}). Give {SHARED} to units that all modules share."
        )
    modules = torch.unique(labels)
    if modules.numel() and int(modules[0]) < SHARED:
        raise ValueError(
            f"Expected labels >= {SHARED} (got {int(modules[0])}); {SHARED} marks shared units."
        )
    modules = modules[modules >= 0]
    num_modules: int = modules.numel()
    if not torch.equal(modules, torch.arange(num_modules, device=modules.device)):
        raise ValueError(
            f"Expected modules 0..K-1, each with a unit (got the modules {modules.tolist()})."
            f" Renumber them, e.g. with labels.unique(return_inverse=True)."
        )
    return num_modules


def labels_of_members(labels: Tensor, members: Tensor, num_modules: int) -> Tensor:
    """The labels of the units of ``members``, a boolean mask ``[N]``, on its device.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` has the wrong length, other modules than ``num_modules``, or
            shares one of these units.
    """
    found = check_labels(labels, len(members))
    inside = labels.to(members.device).long()[members]
    num_shared = int((inside == SHARED).sum())
    if found != num_modules or num_shared:
        raise ValueError(
            f"Expected labels with {num_modules} modules, one for each of the {len(inside)} units"
            f" that are partitioned (got {found} modules, and {num_shared} of these units without"
            f" one)."
        )
    return inside
