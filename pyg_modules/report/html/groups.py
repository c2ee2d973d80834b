from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import check_labels


@dataclass(frozen=True)
class Group:
    """Units that are drawn together.

    Args:
        key (str): Short and unique, such as ``"module-0"``.
        name (str): For people, such as ``"module 0"``.
        kind (str): ``"input"``, ``"hidden"`` or ``"output"``.
        module (int, optional): The module, if all units are of one.
        units (LongTensor): Their ids, ``[n]``, rising.
    """

    key: str
    name: str
    kind: str
    module: int | None
    units: Tensor


def unit_groups(graph: UnitGraph, labels: Tensor) -> list[Group]:
    """Inputs, the hidden units of every module, those that all modules share, and outputs.

    Args:
        graph (UnitGraph): The units.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.

    Returns:
        list of Group: Those that have units.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` is not one module, or −1, per unit.
    """
    num_modules = check_labels(labels, graph.num_units)
    labels = labels.cpu()
    hidden = torch.tensor(graph.hidden, dtype=torch.long)
    of_hidden = labels[hidden]
    groups = [Group("inputs", "inputs", "input", None, torch.tensor(graph.inputs))]
    for module in range(num_modules):
        units = hidden[of_hidden == module]
        groups.append(Group(f"module-{module}", f"module {module}", "hidden", module, units))
    groups.append(Group("shared", "shared by all modules", "hidden", None, hidden[of_hidden < 0]))
    groups.append(Group("outputs", "outputs", "output", None, torch.tensor(graph.outputs)))
    return [group for group in groups if len(group.units) > 0]
