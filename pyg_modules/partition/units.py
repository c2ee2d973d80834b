from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules._brief import brief
from pyg_modules._checks import as_int, check_choice, check_plain
from pyg_modules._reference import Reference
from pyg_modules.graph.paths import disjoint_paths
from pyg_modules.graph.reach import Reach
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.scatter import ScatterOperator
from pyg_modules.ops.sparse import SparseOperator
from pyg_modules.ops.tracing import is_transforming
from pyg_modules.partition.labels import SHARED, read_labels
from pyg_modules.partition.search.links import has_links
from pyg_modules.partition.search.size_bounds import SizeBounds

_SCOPES = ("hidden", "inputs", "all")
#: What a weight may count in the cut.
AFFINITIES = ("abs", "square")
#: What units are, in the order of their ids.
INPUT, HIDDEN, OUTPUT = range(3)
_MOST_MODULES = 8
# Affinities between these have inverses, and sums that are finite.
_SAFE = 1e-150, 1e150
# A matrix with fewer cells than this many times the edges is multiplied as a dense one.
_DENSE = 4


class Partitionable(Protocol):
    """What can be partitioned: a :class:`SynchronousGraph`, or a model of yours with these names.

    Nothing is to be inherited; attributes, properties and buffers will do.
    """

    @property
    def graph(self) -> UnitGraph:
        """The units, and the edges between them."""

    @property
    def labels(self) -> Tensor | None:
        """Module of every unit, ``[N]``, if the modules are cut apart already; else ``None``."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""

    def edge_weight(self) -> Tensor:
        """One signed weight per edge of the graph, ``[E]``, differentiable; 0 where pruned."""


@dataclass(frozen=True)
class EdgeList:
    """A weighted edge list as something to partition; ``weight`` is ``[E]``."""

    graph: UnitGraph
    weight: Tensor
    labels: Tensor | None = None

    @classmethod
    def of(cls, edge_index: Tensor, weight: Tensor, num_units: int) -> EdgeList:
        """The edges ``[2, E]`` between ``num_units`` units, all of them hidden."""
        graph = UnitGraph(edge_index, num_units, num_inputs=0, num_outputs=0)
        check_edge_weight(graph.edge_index, weight)
        return cls(graph, weight)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.weight.device

    def edge_weight(self) -> Tensor:
        """The weights."""
        return self.weight


class PartitionedEdges(NamedTuple):
    """The edges among the units that are partitioned.

    Attributes:
        edge_ids: Their positions in ``graph.edge_index``, ``[e]``; ``None`` for all as they are.
        source: Numbers of their sources among the units that are partitioned, ``[e]``.
        target: Those of their targets, ``[e]``.
        operator: Sums over them, for :func:`pyg_modules.ops.edge_sum.bind`.
    """

    edge_ids: Tensor | None
    source: Tensor
    target: Tensor
    operator: EdgeOperator


class Units:
    r"""The units of a layer that are partitioned, and how strongly they belong together.

    .. math::
        a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    Args:
        layer (Partitionable): Its weights are read when they are needed.
        scope (str, optional): Which units are partitioned: the ``"hidden"`` ones, ``"inputs"``
            too, or ``"all"``, outputs too. (default: ``"hidden"``)
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of :math:`|w|`. (default: ``"abs"``)
        capacities (sequence of int, optional): Number of units of every module; they add up to the
            number of these units. (default: equal)
        train_weights (bool, optional): Whether losses have a gradient in the weights.
            (default: ``True``)

    Raises:
        TypeError: If ``layer`` is not ``Partitionable``.
        ValueError: If ``scope`` or ``affinity`` is unknown.
    """

    def __init__(
        self,
        layer: Partitionable,
        *,
        scope: str = "hidden",
        affinity: str = "abs",
        capacities: Sequence[int] | None = None,
        train_weights: bool = True,
    ) -> None:
        # Not by isinstance, which from Python 3.12 on does not find buffers.
        is_one = isinstance(getattr(layer, "graph", None), UnitGraph) and all(
            hasattr(layer, name) for name in ("labels", "device", "edge_weight")
        )
        if not is_one:
            raise TypeError(
                f"Expected a Partitionable, such as a SynchronousGraph (got"
                f" {type(layer).__name__}). Pass the layer itself, not the model around it."
            )
        if not isinstance(layer.device, torch.device):
            raise TypeError(
                f"Expected a device that is a torch.device (got {brief(layer.device)}). Use"
                f" torch.device({brief(layer.device)}), or that of a weight."
            )
        check_scope(scope)
        check_affinity(affinity)
        self._layer = Reference(layer)
        self.scope = scope
        self.affinity = affinity
        self.capacities = capacities
        if isinstance(capacities, Iterable):  # It may be read once, or be changed.
            self.capacities = tuple(capacities)
        self.train_weights = train_weights

    @classmethod
    def with_modules(cls, layer: Partitionable, labels: Tensor) -> Units | None:
        """The units that ``labels``, ``[N]``, give a module, if they are those of a scope."""
        is_own = labels >= 0
        inputs, outputs = layer.graph.inputs, layer.graph.outputs
        scope = "inputs" if bool(is_own[: inputs.stop].all()) else "hidden"
        if scope == "inputs" and bool(is_own[outputs.start :].all()):
            scope = "all"
        units = cls(layer, scope=scope)
        return units if torch.equal(is_own.to(units.members.device), units.members) else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._layer.is_settled:
            _ = self.edges  # What graphs keep is not in a pickle; a compiler has to find it ready.

    @property
    def layer(self) -> Partitionable:
        """The layer; a deep copy of these units alone has the same."""
        return self._layer()

    @property
    def members(self) -> Tensor:
        """Which units of the graph they are, a boolean mask ``[N]`` on the device of the layer."""
        return self._members_on(self.layer.device)

    def _members_on(self, device: torch.device | str) -> Tensor:
        graph = self.layer.graph
        members = torch.zeros(graph.num_units, dtype=torch.bool, device=device)
        members[self._range.start : self._range.stop] = True
        return members

    @property
    def _range(self) -> range:
        """Their numbers: inputs are the first units, and outputs the last."""
        graph = self.layer.graph
        return range(
            0 if self.owns_inputs else graph.hidden.start,
            graph.num_units if self.owns_outputs else graph.hidden.stop,
        )

    @property
    def owns_inputs(self) -> bool:
        """Whether inputs are among them, so that every module has its own; else all share all."""
        return self.scope != "hidden"

    @property
    def owns_outputs(self) -> bool:
        """Whether outputs are among them."""
        return self.scope == "all"

    def __len__(self) -> int:
        return len(self._range)

    @property
    def num_updates(self) -> int | None:
        """How many edges between hidden units a signal can pass, if the layer's solver says so."""
        num_updates: int | None = getattr(getattr(self.layer, "solver", None), "num_updates", None)
        return num_updates

    @property
    def edges(self) -> PartitionedEdges:
        """The edges among them, on the device of the layer."""
        device = self.layer.device
        edges = self.layer.graph.cached(("partition", self.scope, device), self._new_edges)
        if edges.operator.is_composable or not is_transforming():
            return edges
        # Transformations cannot look into sparse matrices.
        ends = edges.source, edges.target, edges.target
        return edges._replace(operator=ScatterOperator(ends, edges.operator.sizes))

    def magnitudes(self) -> Tensor:
        """What the weights of :attr:`edges` count, ``[e]``, differentiable, single or double."""
        weight = self._weight()
        magnitudes = self._magnitudes_of(weight if self.train_weights else weight.detach())
        # Sparse products know no half precision.
        return magnitudes.to(torch.promote_types(weight.dtype, torch.float32))

    def affinity_matrix(self) -> csr_array[Any]:
        """The affinities :math:`a_{ij}` as they are now, in double precision.

        They are scaled where their inverses or sums would overflow; only their ratios count.

        Returns:
            scipy.sparse.csr_array: ``[n, n]``, symmetric, self-loops on the diagonal, nothing
            stored that is 0.

        Raises:
            ValueError: If no edge joins two of the units, or no weight that is finite and not 0.
        """
        self.check_linked()
        weight = self._weight().detach().cpu().double()
        half_magnitudes = self._magnitudes_of(weight).numpy() / 2
        # scikit-learn and METIS want 32-bit indices.
        edges = self.edges
        source, target = (ids.cpu().int().numpy() for ids in (edges.source, edges.target))
        half = coo_array((half_magnitudes, (source, target)), shape=(len(self), len(self))).tocsr()
        matrix = half + half.T
        matrix.eliminate_zeros()
        largest = matrix.data.max(initial=0.0)
        if 0 < largest < _SAFE[0] or _SAFE[1] < largest < numpy.inf:
            matrix.data /= largest
        if not numpy.isfinite(matrix.data).all():
            raise ValueError(
                "Expected finite weights (got NaN or infinity). Look for these in the data;"
                " if there are none, the training diverged: lower the learning rate."
            )
        if not has_links(matrix).any():
            raise ValueError(
                f"Expected weights between the units that scope={self.scope!r} partitions (got only"
                f" zeros). Train the layer first, or prune it less."
            )
        return matrix

    def check_linked(self) -> None:
        """Raise unless an edge joins two of the units."""
        if not self.are_linked():
            larger = (
                scope
                for scope in _SCOPES[_SCOPES.index(self.scope) + 1 :]
                if self.replaced(scope=scope).are_linked()
            )
            remedy = next(map('Use scope="{}".'.format, larger), "Give the graph some.")
            raise ValueError(
                f"Expected edges between the units that scope={self.scope!r} partitions (got none)."
                f" {remedy}"
            )

    def check_reached(self) -> None:
        """Raise a ``ValueError`` if they are on paths to the outputs, and all are too long."""
        graph, steps = self.layer.graph, self.num_updates
        if steps is None or not graph.num_inputs or not graph.num_outputs:
            return
        reach = Reach.of(graph, self.kept_edges)
        members = self.members.cpu().numpy()
        members = members & (numpy.arange(graph.num_units) >= graph.num_inputs)
        shortest = float((reach.from_inputs + reach.to_outputs)[members].min(initial=numpy.inf))
        if steps + 1 < shortest < numpy.inf:
            raise ValueError(
                f"Expected a path from an input to an output that {steps} updates can walk (got"
                f" none). Use a solver of at least {int(shortest) - 1} steps."
            )

    @property
    def kept_edges(self) -> Tensor | None:
        """Edges that are not pruned, ``[E]``, on the CPU; ``None``: all.

        Where the layer does not say so itself, those whose weight is not 0.
        """
        if hasattr(self.layer, "kept_edges"):
            kept: Tensor | None = self.layer.kept_edges
            return kept
        return nonzero_edges(self.layer)

    def check_paths(self, num_modules: int) -> None:
        """Raise a ``ValueError`` unless each of so many modules can have a path of its own.

        Of units of which none takes part, cut or not, nothing is said.
        """
        self.check_reached()
        kept, steps = self.kept_edges, self.num_updates
        num_paths = self.num_paths(num_modules)
        takes_part = Reach.of(self.layer.graph, kept).is_alive(steps)
        takes_part &= self._members_on("cpu").numpy()
        if num_paths < num_modules and takes_part[self.layer.graph.num_inputs :].any():
            within = "" if steps is None else f" that {steps} updates can walk"
            fewer = f"num_modules={num_paths}, or " if num_paths > 1 else ""
            raise ValueError(
                f"Expected a path from an input to an output{within} for each of {num_modules}"
                f" modules, through units of its own (got {num_paths} beside each other with"
                f" scope={self.scope!r}). Use {fewer}a graph that is wider where it is narrow."
            )

    def num_paths(self, most: int) -> int:
        """How many paths from inputs to outputs lie beside each other, each in units of these.

        No more modules can live. Shared ends may be those of several.

        Args:
            most (int): After so many, no more are looked for.
        """
        graph = self.layer.graph
        return len(self.paths(most)) if graph.num_inputs and graph.num_outputs else most

    def paths(self, most: int) -> list[list[int]]:
        """The units of such paths, one after the other; some may be too long for the updates.

        Args:
            most (int): After so many, no more are looked for.
        """
        kept = self.kept_edges
        if kept is not None:  # Which may change.
            return self._new_paths(most, kept)
        key = "paths", self.scope, self.num_updates, most
        return self.layer.graph.cached(key, lambda: self._new_paths(most, None))

    def _new_paths(self, most: int, unpruned: Tensor | None) -> list[list[int]]:
        graph, steps = self.layer.graph, self.num_updates
        source, target = graph.edge_index.numpy()
        is_own = self._members_on("cpu").numpy()
        kept = (is_own[source] | is_own[target]) & (source < graph.outputs.start)
        if unpruned is not None:
            kept &= unpruned.numpy()
        reach = Reach.of(graph, unpruned)
        length = reach.from_inputs[source] + reach.to_outputs[target]
        kept &= length < numpy.inf if steps is None else length <= steps
        # A path through hidden units alone makes a module live that does not own its outputs.
        if not self.owns_outputs:
            kept &= (source >= graph.num_inputs) | (target < graph.outputs.start)
        ends = graph.inputs, graph.outputs
        return disjoint_paths(source[kept], target[kept], *ends, ~is_own, most)

    def are_linked(self) -> bool:
        """Whether an edge joins two of them."""
        return bool((self.edges.source != self.edges.target).any())

    def replaced(self, **changes: Any) -> Units:
        """The same units but for these arguments, such as ``affinity="square"``."""
        names = "layer", "scope", "affinity", "capacities", "train_weights"
        return Units(**{name: getattr(self, name) for name in names} | changes)

    def check_whole(self) -> None:
        """Raise a ``ValueError`` if the modules are cut apart already."""
        if self.layer.labels is not None:
            raise ValueError(
                "Expected a layer that is not cut yet (got one made by cut). Its modules are in"
                " layer.labels; regularize the layer before the cut, and judge that one too."
            )

    def bounds(self, num_modules: int, tolerance: float = 0.0) -> SizeBounds:
        """How many of them, and of each class, a module may have; see ``SizeBounds.of``."""
        num_modules = as_int("num_modules", num_modules, smallest=2)
        graph = self.layer.graph
        num_ends = self.num_ends()
        if 0 < num_ends < num_modules <= len(self):
            own, kinds = "an input", "inputs"
            if self.owns_outputs:
                own, kinds = "an input and an output", "inputs and outputs"
            possible = f"num_modules from 2 to {num_ends}" if num_ends > 1 else f"2 {kinds}"
            # Where one output is the reason, modules can still have inputs of their own.
            fits = self.owns_outputs and graph.num_hidden and num_modules <= graph.num_inputs
            other = "inputs" if fits else "hidden"
            raise ValueError(
                f"Expected {possible}: with scope={self.scope!r}, every module has {own} of its own"
                f" (got {num_modules} modules, {graph.num_inputs} inputs and {graph.num_outputs}"
                f" outputs). Use {'fewer modules, or ' if num_ends > 1 else ''}scope={other!r}."
            )
        classes = self.classes(num_modules)
        # A path leads through every class, and begins and ends in it where it has ends.
        count = numpy.zeros((int(classes.max(initial=-1)) + 1, 3), dtype=numpy.int64)
        numpy.add.at(count, (classes, self.roles()), 1)
        fewest = (count >= num_modules).sum(axis=1)
        return SizeBounds.of(len(self), num_modules, self.capacities, tolerance, classes, fewest)

    def roles(self) -> Ints:
        """Whether each of them is an ``INPUT``, ``HIDDEN`` or an ``OUTPUT``, ``[n]``."""
        hidden = self.layer.graph.hidden
        ends = hidden.start, hidden.stop
        return numpy.searchsorted(ends, numpy.array(self._range), side="right")

    def most_modules(self) -> int:
        """The largest number of modules that are tried where nobody says how many."""
        of_each = self.num_ends(), self.num_paths(_MOST_MODULES)
        return min(_MOST_MODULES, len(self), *(number for number in of_each if number))

    def num_ends(self) -> int:
        """How many modules can have an end of their own of each kind that is theirs, 0 if none."""
        graph = self.layer.graph
        if not self.owns_inputs or not graph.num_inputs or not graph.num_outputs:
            return 0
        return min(graph.num_inputs, graph.num_outputs) if self.owns_outputs else graph.num_inputs

    def classes(self, smallest: int) -> Ints:
        """Classes of them by their distance from the inputs, from 0 on, ``[n]``.

        Modules have a share of every class, so that they are not levels of a layered graph, of
        which only the first sees an input. A complete graph has one class. Inputs are in the class
        of the nearest hidden units; outputs, and what no input reaches, in that of the farthest.

        Args:
            smallest (int): Classes with fewer units are put together.
        """
        graph = self.layer.graph
        depth = Reach.of(graph).from_inputs
        hidden = depth[graph.hidden.start : graph.hidden.stop]
        reached = hidden[hidden < numpy.inf]
        if not len(reached):
            return numpy.zeros(len(self), dtype=numpy.int64)
        depth = numpy.minimum(depth, reached.max())
        depth[: graph.num_inputs] = reached.min()
        depth[graph.outputs.start :] = reached.max()
        levels, level, counts = numpy.unique(
            depth[self.members.cpu().numpy()], return_inverse=True, return_counts=True
        )
        group, size = numpy.zeros(len(levels), dtype=numpy.int64), 0
        for number, count in enumerate(counts):
            group[number] = group[number - 1] + (size >= smallest) if number else 0
            size = count + (0 if size >= smallest else size)
        if size < smallest:
            group[group == group[-1]] -= group[-1] > 0
        classes: Ints = group[level]
        return classes

    def labels_of_members(self, labels: Tensor, num_modules: int) -> Tensor:
        """Theirs, ``[n]``, on the device of the layer, of the labels of all units, ``[N]``.

        Raises:
            TypeError: If ``labels`` is not an integer tensor.
            ValueError: If ``labels`` has the wrong length or other modules, a module has none of
                these, or one is shared.
        """
        labels, found = read_labels(labels, self.layer.graph.num_units)
        inside = labels.to(self.layer.device).long()[self.members]
        num_shared = int((inside == SHARED).sum())
        num_empty = found - len(torch.unique(inside[inside != SHARED]))
        if found != num_modules or num_shared or num_empty:
            raise ValueError(
                f"Expected labels with {num_modules} modules, one for each of the {len(inside)}"
                f" units that are partitioned (got {found} modules, and {num_shared} of these"
                f" units without one; {num_empty} modules have none of them)."
                " Use labels of partition_units(layer, num_modules) with the same scope."
            )
        return inside

    def labels_of_all(self, labels: Tensor) -> Tensor:
        """Labels of all units, ``[N]``, −1 for the others, from those of these, ``[n]``."""
        members = self.members
        spread = torch.full_like(members, SHARED, dtype=torch.long)
        spread[members] = labels.to(members.device)
        return spread

    def _magnitudes_of(self, weight: Tensor) -> Tensor:
        return weight.abs() if self.affinity == "abs" else weight.square()

    def _weight(self) -> Tensor:
        """The weights of :attr:`edges`, ``[e]``."""
        weight = self.layer.edge_weight()
        check_edge_weight(self.layer.graph.edge_index, weight)
        edge_ids = self.edges.edge_ids
        return weight if edge_ids is None else weight.index_select(0, edge_ids)

    def _new_edges(self) -> PartitionedEdges:
        edge_index, device = self.layer.graph.edge_index, self.layer.device
        edges = EdgeSet.among(edge_index, self._members_on("cpu"))
        num_cells = edges.num_targets * edges.num_sources
        is_dense = edges.num_edges * _DENSE >= num_cells
        if is_dense and edges.num_edges < num_cells:  # Cells are found in any order of the edges.
            edges = edges.as_listed()
        operator = (DenseOperator if is_dense else SparseOperator).build(edges).to(device)
        ends = edges.source.to(device), edges.target.to(device)
        edge_ids = edges.edge_ids
        are_all = torch.equal(edge_ids, torch.arange(edge_index.size(1), device="cpu"))
        return PartitionedEdges(None if are_all else edge_ids.to(device), *ends, operator)


def nonzero_edges(layer: Partitionable) -> Tensor | None:
    """Edges whose weight is not 0 now, a boolean mask ``[E]`` on the CPU; ``None``: all."""
    if layer.device.type == "meta":
        return None
    is_on = (layer.edge_weight().detach() != 0).cpu()
    return None if bool(is_on.all()) else is_on


def check_scope(scope: str) -> None:
    """Raise a ``ValueError`` unless ``scope`` is known."""
    check_choice("scope", scope, _SCOPES)


def check_affinity(affinity: str) -> None:
    """Raise a ``ValueError`` unless ``affinity`` is known."""
    check_choice("affinity", affinity, AFFINITIES)


def check_finite(weight: Tensor) -> None:
    """Raise unless all weights are finite."""
    if not bool(weight.isfinite().all()):
        raise ValueError(
            "Expected finite weights (got NaN or infinity). Look for these in the data;"
            " if there are none, the training diverged: lower the learning rate."
        )


def check_edge_weight(edge_index: Tensor, edge_weight: Tensor) -> None:
    """Raise unless every edge has a weight."""
    if not isinstance(edge_weight, Tensor):
        raise TypeError(
            f"Expected edge_weight to be a Tensor (got {type(edge_weight).__name__})."
            " Use torch.as_tensor(edge_weight)."
        )
    check_plain("edge_weight", edge_weight)
    if edge_weight.is_complex() or edge_weight.dtype == torch.bool:
        remedy = "abs" if edge_weight.is_complex() else "float"
        raise TypeError(
            f"Expected edge_weight of real numbers (got {edge_weight.dtype}). Use"
            f" edge_weight.{remedy}()."
        )
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"Expected one weight per edge, [{edge_index.size(1)}] (got {list(edge_weight.shape)})."
            " Give them in the order of edge_index."
        )
