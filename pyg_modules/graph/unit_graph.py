from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_modules.graph.convert import data_to_parts, nx_to_parts, parts_to_data, parts_to_nx
from pyg_modules.graph.generators import Generators
from pyg_modules.graph.validate import as_sizes, check_edge_index

if TYPE_CHECKING:
    import networkx

T = TypeVar("T")


class UnitGraph(Generators):
    r"""What is wired to what: an immutable directed graph of input, hidden and output units.

    Ids are given by role: inputs :math:`[0, I)`, hidden units :math:`[I, I + H)`, outputs
    :math:`[I + H, N)`. An edge :math:`j \to i` is a column :math:`(j, i)` of ``edge_index``, as in
    PyG; unit :math:`i` receives from unit :math:`j`. Cycles and self-loops are welcome; inputs are
    clamped to the data, so no edge may end in one.

    Args:
        edge_index (LongTensor): Sources and targets of the edges, shape ``[2, E]``. It is copied,
            to the CPU, and its order is kept: the weights of a layer follow it.
        num_units (int): Number of units :math:`N`.
        num_inputs (int): Number of input units :math:`I`.
        num_outputs (int): Number of output units :math:`O`.

    Raises:
        TypeError: If ``edge_index`` is not an integer tensor, or a count is not an integer.
        ValueError: If ``edge_index`` is not ``[2, E]``, names an unknown unit, enters an input or
            repeats an edge, or if the counts do not fit together.

    Example:
        >>> import torch
        >>> from pyg_modules import UnitGraph
        >>> graph = UnitGraph(torch.tensor([[0, 1, 2, 2], [1, 2, 1, 3]]), 4, 1, 1)
        >>> graph
        UnitGraph(num_inputs=1, num_hidden=2, num_outputs=1, num_edges=4)
    """

    edge_index: Tensor
    num_units: int
    num_inputs: int
    num_outputs: int
    _cache: dict[Hashable, Any]

    __slots__ = ("__weakref__", "_cache", "edge_index", "num_inputs", "num_outputs", "num_units")

    def __init__(
        self, edge_index: Tensor, num_units: int, num_inputs: int, num_outputs: int
    ) -> None:
        num_units, num_inputs, num_outputs = as_sizes(
            num_units=num_units, num_inputs=num_inputs, num_outputs=num_outputs
        )
        if num_inputs + num_outputs > num_units:
            raise ValueError(
                f"Expected num_inputs + num_outputs <= num_units (got {num_inputs} + {num_outputs}"
                f" > {num_units}). num_units counts all units: inputs, hidden and outputs."
                " Raise it."
            )
        check_edge_index(edge_index, num_units, num_inputs)
        edge_index = edge_index.detach().to("cpu", torch.long)
        edge_index = edge_index.clone(memory_format=torch.contiguous_format)
        for name, value in (
            ("edge_index", edge_index),
            ("num_units", num_units),
            ("num_inputs", num_inputs),
            ("num_outputs", num_outputs),
            ("_cache", {}),
        ):
            object.__setattr__(self, name, value)

    # Counts ##################################################################################

    @property
    def num_hidden(self) -> int:
        """Number of hidden units :math:`H`."""
        return self.num_units - self.num_inputs - self.num_outputs

    @property
    def num_edges(self) -> int:
        """Number of edges :math:`E`."""
        return int(self.edge_index.size(1))

    @property
    def inputs(self) -> range:
        """Ids of the input units."""
        return range(self.num_inputs)

    @property
    def hidden(self) -> range:
        """Ids of the hidden units."""
        return range(self.num_inputs, self.num_inputs + self.num_hidden)

    @property
    def outputs(self) -> range:
        """Ids of the output units."""
        return range(self.num_units - self.num_outputs, self.num_units)

    @property
    def has_feedback(self) -> bool:
        """Whether an output has an outgoing edge."""
        return bool((self.edge_index[0] >= self.outputs.start).any())

    def with_edges(self, edge_index: Tensor) -> UnitGraph:
        """The graph of the same units with these edges, ``[2, E]``, in the place of its own."""
        return type(self)(edge_index, self.num_units, self.num_inputs, self.num_outputs)

    # Conversions #############################################################################

    @classmethod
    def from_data(cls, data: Data) -> UnitGraph:
        """The graph in a PyG ``Data`` object made by :meth:`to_data`, or shaped like one.

        Args:
            data (torch_geometric.data.Data): Has ``edge_index``, ``num_nodes``, ``num_inputs`` and
                ``num_outputs``; node ids follow the order inputs, hidden, outputs.
        """
        return cls(*data_to_parts(data))

    def to_data(self) -> Data:
        """A PyG ``Data`` with ``edge_index``, ``num_nodes``, ``num_inputs`` and ``num_outputs``."""
        return parts_to_data(*self._parts())

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph) -> UnitGraph:
        """The graph in a :class:`networkx.DiGraph` whose nodes carry a ``role``.

        Args:
            graph (networkx.DiGraph): Every node has the attribute ``role``, one of ``"input"``,
                ``"hidden"`` and ``"output"``. Within a role, ids follow the order of the nodes.
        """
        return cls(*nx_to_parts(graph))

    def to_networkx(self) -> networkx.DiGraph:
        """A :class:`networkx.DiGraph` with nodes ``0..N-1`` and their ``role``."""
        return parts_to_nx(*self._parts())

    # Immutability ############################################################################

    def cached(self, key: Hashable, build: Callable[[], T]) -> T:
        """What ``build()`` returns, computed once per graph and ``key``.

        Index structures that depend on the wiring alone are kept here, so that all layers on one
        graph share them.
        """
        if key not in self._cache:
            # What is built in inference mode could never be trained with.
            with torch.inference_mode(False):
                self._cache[key] = build()
        value: T = self._cache[key]
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"Expected no change of a UnitGraph, which is immutable (got a new {name!r}). Build"
            f" another UnitGraph."
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(
            f"Expected no change of a UnitGraph, which is immutable (got del of {name!r}). Build"
            f" another UnitGraph."
        )

    def __copy__(self) -> UnitGraph:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> UnitGraph:
        return self

    def __reduce__(self) -> tuple[type[UnitGraph], tuple[Tensor, int, int, int]]:
        return type(self), self._parts()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UnitGraph):
            return NotImplemented
        return self._counts() == other._counts() and torch.equal(self.edge_index, other.edge_index)

    def __hash__(self) -> int:
        return hash(self._counts())

    def _parts(self) -> tuple[Tensor, int, int, int]:
        return self.edge_index, self.num_units, self.num_inputs, self.num_outputs

    def _counts(self) -> tuple[int, int, int, int]:
        return self.num_units, self.num_inputs, self.num_outputs, self.num_edges

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_inputs={self.num_inputs}, num_hidden={self.num_hidden},"
            f" num_outputs={self.num_outputs}, num_edges={self.num_edges})"
        )
