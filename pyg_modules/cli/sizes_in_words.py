from __future__ import annotations

from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph


def sizes_in_words(graph: UnitGraph, labels: Tensor) -> str:
    """How many units each module has, as ``"2, 3 inputs and 4, 4 hidden units"``.

    Args:
        graph (UnitGraph): The units.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for those that all modules share.
    """
    num_modules = int(labels.max()) + 1
    kinds = {"inputs": graph.inputs, "hidden units": graph.hidden, "outputs": graph.outputs}
    found = []
    for name, ids in kinds.items():
        own = labels[ids.start : ids.stop]
        if bool((own >= 0).any()):
            sizes = own[own >= 0].bincount(minlength=num_modules).tolist()
            found.append(f"{', '.join(map(str, sizes))} {name}")
    return " and ".join(found)
