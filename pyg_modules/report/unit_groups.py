from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import SHARED, read_labels
from pyg_modules.report.palette import INPUT, OUTPUT, module_color


@dataclass(frozen=True)
class UnitGroup:
    """Units that are drawn together.

    Args:
        key (str): Short and unique, such as ``"module-0"``.
        name (str): For people, such as ``"module 0"``.
        kind (str): ``"input"``, ``"hidden"`` or ``"output"``.
        module (int, optional): The module, if all units are of one.
        units (LongTensor): Their ids, ``[n]``, rising within every module.
    """

    key: str
    name: str
    kind: str
    module: int | None
    units: Tensor

    @property
    def color(self) -> str:
        """The colour of those units that are in no module, or in that of the group."""
        if self.kind == "hidden":
            return module_color(SHARED if self.module is None else self.module)
        return INPUT if self.kind == "input" else OUTPUT


def unit_groups(graph: UnitGraph, labels: Tensor, *, merged: bool = False) -> list[UnitGroup]:
    """Inputs, the hidden units of every module, those that all modules share, and outputs.

    Args:
        graph (UnitGraph): The units.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.
        merged (bool, optional): Whether inputs and outputs of a module belong to its group, not to
            those of the inputs and the outputs. (default: ``False``)

    Returns:
        list of UnitGroup: Those that have units.

    Raises:
        TypeError: If ``labels`` is not an integer tensor.
        ValueError: If ``labels`` is not one module, or −1, per unit, or has a gap.
    """
    labels, num_modules = read_labels(labels, graph.num_units)
    # Units of one module stand together among the inputs and the outputs too.
    labels, units = labels.cpu().sort(stable=True)
    at_side = (labels < 0) | (not merged)
    is_input = (units < graph.num_inputs) & at_side
    is_output = (units >= graph.outputs.start) & at_side
    is_hidden = ~(is_input | is_output)
    rest = ("shared", "shared by all modules") if num_modules else ("hidden units", "hidden units")
    groups = [
        UnitGroup("inputs", "inputs", "input", None, units[is_input]),
        *(
            UnitGroup(f"module-{k}", f"module {k}", "hidden", k, units[is_hidden & (labels == k)])
            for k in range(num_modules)
        ),
        UnitGroup(*rest, "hidden", None, units[is_hidden & (labels < 0)]),
        UnitGroup("outputs", "outputs", "output", None, units[is_output]),
    ]
    return [group for group in groups if len(group.units) > 0]


def group_of_unit(groups: Sequence[UnitGroup]) -> Tensor:
    """The place in ``groups`` of the one that each unit belongs to, ``[N]``."""
    places = torch.zeros(sum(len(group.units) for group in groups), dtype=torch.long, device="cpu")
    for place, group in enumerate(groups):
        places[group.units] = place
    return places
