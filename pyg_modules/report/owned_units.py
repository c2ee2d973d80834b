from __future__ import annotations

from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import read_labels


def owned_units(graph: UnitGraph, labels: Tensor) -> dict[str, list[int]]:
    """How many units of each kind the modules have of their own; kinds that all share are left out.

    Args:
        graph (UnitGraph): The units.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for those that all modules share.

    Returns:
        dict: A number per module for ``"inputs"``, ``"hidden units"`` and ``"outputs"``.
    """
    labels, num_modules = read_labels(labels, graph.num_units)
    kinds = {"inputs": graph.inputs, "hidden units": graph.hidden, "outputs": graph.outputs}
    owned = {}
    for name, ids in kinds.items():
        own = labels[ids.start : ids.stop]
        if bool((own >= 0).any()):
            owned[name] = own[own >= 0].bincount(minlength=num_modules).tolist()
    return owned


def sizes_in_words(graph: UnitGraph, labels: Tensor) -> str:
    """Those of :func:`owned_units`, as ``"2, 3 inputs and 4, 4 hidden units"``."""
    return " and ".join(
        f"{', '.join(map(str, sizes))} {name}" for name, sizes in owned_units(graph, labels).items()
    )
