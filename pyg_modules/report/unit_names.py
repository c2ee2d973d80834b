from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pyg_modules._brief import brief
from pyg_modules.datasets.encoding import Encoding
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.labels import SHARED, read_labels


@dataclass(frozen=True)
class UnitNames:
    """What people call the inputs and the outputs of a layer.

    Args:
        inputs (list of str, optional): By input. (default: they are numbered)
        outputs (list of str, optional): By output, the names of classes or of targets. (default:
            they are numbered)
    """

    inputs: list[str] | None = None
    outputs: list[str] | None = None

    @classmethod
    def of_file(cls, encoding: Encoding | None) -> UnitNames:
        """Those of the columns and classes of a file, if there is one."""
        if encoding is None:
            return cls()
        return cls(encoding.input_names, encoding.output_names)

    def of_units(self, graph: UnitGraph) -> list[str]:
        """A name for every unit, ``[N]``."""
        return [
            *(self.inputs or (f"input {number}" for number in range(graph.num_inputs))),
            *(f"unit {unit}" for unit in graph.hidden),
            *(self.outputs or (f"output {number}" for number in range(graph.num_outputs))),
        ]

    def by_module(self, graph: UnitGraph, labels: Tensor, most: int | None = None) -> list[str]:
        """A sentence for every module with named inputs or outputs, and one for shared ones.

        None if no module owns any that has a name. Of each kind ``most`` are named, all by default.
        """
        labels, num_modules = read_labels(labels, graph.num_units)
        kinds = {
            "input": (self.inputs, labels[graph.inputs.start : graph.inputs.stop].tolist()),
            "output": (self.outputs, labels[graph.outputs.start : graph.outputs.stop].tolist()),
        }
        named = {
            kind: (names, owners)
            for kind, (names, owners) in kinds.items()
            if names is not None and max(owners) != SHARED
        }
        sentences = []
        for module in (*range(num_modules), SHARED):
            owned = {
                kind: [name for name, owner in zip(names, owners, strict=True) if owner == module]
                for kind, (names, owners) in named.items()
            }
            clauses = [
                f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:most])}"
                f"{f' and {len(names) - most:,} more' if most and len(names) > most else ''}"
                for kind, names in owned.items()
                if names
            ]
            if clauses:
                who = "all modules" if module == SHARED else f"module {module}"
                sentences.append(f"{who}: {'; '.join(clauses)}")
        return sentences


def check_names(argument: str, names: Any, number: int) -> list[str] | None:
    """The names that were given, if any were.

    Raises:
        TypeError: If they are not a sequence of strings.
        ValueError: If there are not so many.
    """
    if names is None:
        return None
    # Arrays and indices of data frames are sequences but by name.
    is_sequence = isinstance(names, Sequence) or hasattr(names, "tolist")
    found = [None] if isinstance(names, str) or not is_sequence else list(names)
    if not all(isinstance(name, str) for name in found):
        raise TypeError(
            f"Expected {argument} to be a sequence of strings (got {brief(names)}). Use e.g."
            f" [str(name) for name in names]."
        )
    if len(found) != number:
        raise ValueError(
            f"Expected {argument} to be {number} names (got {len(found)}). Give one for each, in"
            f" their order."
        )
    return [str(name) for name in found]


def names_of_columns(x: Any) -> list[str] | None:
    """Those of a data frame whose columns have names, all strings."""
    columns = list(getattr(x, "columns", ()))
    return columns if columns and all(isinstance(name, str) for name in columns) else None
