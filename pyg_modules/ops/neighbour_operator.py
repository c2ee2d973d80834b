from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_modules.ops.activation import LINEAR, RowActivation
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.neighbours import Neighbours
from pyg_modules.ops.operator import BACKENDS, EdgeOperator


class _Values(NamedTuple):
    """What is made of the three kinds of weights; ``None`` of those that are not read."""

    own: Any
    looking: Any
    data: Any


class _Gradient(NamedTuple):
    """What accumulates the gradients, and the weights that are needed for it.

    Args:
        own: That of ``w``.
        looking: That of ``u``.
        data: That of ``a``; ``None`` if it is not trained.
        values: Of ``a`` backwards, and of ``u`` forwards.
    """

    own: Any
    looking: Any
    data: Any
    values: _Values


class NeighbourOperator(EdgeOperator):
    r"""Units that are on every node of a data graph, and talk along its edges as well.

    .. math::
        y_{v, i} = \sum_{j \to i} \Big( w_{ij} h_{v, j}
        + u_{ij} \sum_{u \to v} a_{vu} h_{u, j} \Big)

    States are laid out ``[units * P, B]``, the P nodes of a unit in a row. The weights are those of
    the unit edges and of the data edges one after the other, ``w [e]``, ``u [e]`` and ``a [m]``.
    """

    name = "neighbours"
    is_backend = False

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__(index, sizes)
        self._num_nodes, trains_data, backend = self.sizes[2:5]
        self._trains_data = bool(trains_data)
        self._units = list(BACKENDS.values())[backend](self.index[3:], self.sizes[5:])
        self._neighbours = Neighbours(self.index[0], self.index[1], self._num_nodes)
        self.has_second_derivatives = self._units.has_second_derivatives

    @classmethod
    def build(cls, edges: EdgeSet) -> NeighbourOperator:  # noqa: ARG003
        """See :meth:`EdgeOperator.build`; :meth:`over` makes one.

        Raises:
            TypeError: Always: edges between units alone are not enough.
        """
        raise TypeError(
            f"Expected {cls.__name__}.over(units, neighbours) (got edges of units). Give both."
        )

    @classmethod
    def over(
        cls,
        units: EdgeOperator,
        neighbours: Neighbours,
        *,
        trains_data: bool = False,
        heard: Tensor | None = None,
    ) -> NeighbourOperator:
        """The operator over two kinds of edges.

        Args:
            units (EdgeOperator): Those between units.
            neighbours (Neighbours): Those between nodes.
            trains_data (bool, optional): Whether solvers compute a gradient of ``a``. (default:
                ``False``)
            heard (LongTensor, optional): The node that is heard along every edge, ``[m]``: its
                source, or its target where nothing is. (default: all sources)
        """
        num_nodes = neighbours.num_nodes
        counts = units.num_targets * num_nodes, units.num_sources * num_nodes, num_nodes
        backend = list(BACKENDS).index(units.name)
        ends = neighbours.source, neighbours.target
        operator = cls(
            (*ends, ends[0] if heard is None else heard, *units.index),
            (*counts, int(trains_data), backend, *units.sizes),
        )
        # They keep what they built.
        operator._units, operator._neighbours = units, neighbours
        return operator

    def terms(self, weight: Tensor) -> list[tuple[EdgeOperator, Tensor]]:
        r"""See :meth:`EdgeOperator.terms`: those of ``w`` and ``u``, the columns of ``weight``.

        With :math:`\lVert A \rVert \le 1` the norms of both add up to a bound.

        Args:
            weight (Tensor): Weights of the unit edges alone, ``[e, 2]``.
        """
        return [(self._units, column) for column in weight.unbind(1)]

    def is_composed(self) -> bool:
        """See :meth:`EdgeOperator.is_composed`; there are no kernels for shapes alone."""
        return super().is_composed() or self.index[0].is_meta

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`; by kernels where autograd alone looks on."""
        units, neighbours = self._units, self._neighbours
        own, looking, data = self._split(weight)
        weighted, looked = bind(units, own), bind(units, looking)
        gathered = neighbours.compose(data) if self.is_composed() else neighbours.bind(data)
        # What goes from node to node are the states of the fewer units.
        is_narrower = units.num_targets < units.num_sources
        inner, outer = (looked, gathered) if is_narrower else (gathered, looked)

        def weighted_sum(state: Tensor) -> Tensor:
            wide = state.reshape(units.num_sources, self._num_nodes * state.size(1))
            sums = weighted(wide) + outer(inner(wide))
            return sums.reshape(self.num_targets, state.size(1))

        return weighted_sum

    def residual(self, following: Tensor, state: Tensor, *, transposed: bool = False) -> Tensor:
        """See :meth:`EdgeOperator.residual`: that of the node where it is largest.

        Of a node it is that of the unit where it is largest, relative to the largest state of the
        node and of those that it hears from. So nodes count however small the states are that come
        to them from far away, and every graph of a mini-batch does.
        """
        if not state.numel():
            return super().residual(following, state)
        targets, sources = self.index[1:3]
        if transposed:
            sources, targets = targets, sources
        change, size = (
            values.view(-1, self._num_nodes, values.size(1)).abs().amax(dim=0)
            for values in (following - state, state)
        )
        places = targets.unsqueeze(-1).expand(-1, size.size(1))
        heard = size.scatter_reduce(0, places, size.index_select(0, sources), "amax")
        return (change / heard.clamp(min=torch.finfo(size.dtype).tiny)).amax(dim=0)

    # Layout ##################################################################################

    @property
    def num_rows(self) -> int:
        """See :attr:`EdgeOperator.num_rows`."""
        return self._units.num_rows * self._num_nodes

    @property
    def num_columns(self) -> int:
        """See :attr:`EdgeOperator.num_columns`."""
        return self._units.num_columns * self._num_nodes

    def enter(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.enter`."""
        return self._tall(self._units.enter(self._wide(state.contiguous())), state.size(1))

    def leave(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.leave`."""
        return self._tall(self._units.leave(self._wide(state)), state.size(1))

    def _wide(self, state: Tensor) -> Tensor:
        """States ``[units * P, B]`` as those of units, ``[units, P * B]``."""
        num_nodes = self._num_nodes
        # Without nodes, nobody can tell how many units there are, nor needs to.
        num_units = state.size(0) // num_nodes if num_nodes else self._units.num_targets
        return state.view(num_units, num_nodes * state.size(1))

    def _tall(self, state: Tensor, batch: int) -> Tensor:
        """The inverse of :meth:`_wide`."""
        return state.view(state.size(0) * self._num_nodes, batch)

    # Kernels #################################################################################

    def prepare(self, weight: Tensor) -> _Values:
        """See :meth:`EdgeOperator.prepare`."""
        own, looking, data = self._split(weight)
        operator, order = self._neighbours.kernels(weight.dtype)
        prepare = self._units.prepare
        return _Values(prepare(own), prepare(looking), operator.prepare(data[order]))

    def prepare_transposed(self, weight: Tensor) -> _Values:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        own, looking, data = self._split(weight)
        operator, order = self._neighbours.kernels(weight.dtype)
        prepare = self._units.prepare_transposed
        return _Values(prepare(own), prepare(looking), operator.prepare_transposed(data[order]))

    def matmul(self, values: _Values, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        wide, sums = self._wide(state), self._wide(out)
        looked = torch.empty_like(sums)
        self._units.matmul(values.own, wide, sums)
        self._units.matmul(values.looking, self._neighbours.matmul(values.data, wide), looked)
        sums += looked

    def matmul_transposed(self, values: _Values, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        wide, sums = self._wide(grad), self._wide(out)
        looked = torch.empty_like(sums)
        self._units.matmul_transposed(values.own, wide, sums)
        gathered = self._neighbours.matmul(values.data, wide, transposed=True)
        self._units.matmul_transposed(values.looking, gathered, looked)
        sums += looked

    def new_gradient(self, weight: Tensor) -> _Gradient:
        """See :meth:`EdgeOperator.new_gradient`."""
        own, looking, data = self._split(weight)
        units, (operator, order) = self._units, self._neighbours.kernels(weight.dtype)
        data = data[order]
        of_data = read = None
        if self._trains_data:
            of_data, read = operator.new_gradient(data), units.prepare(looking)
        values = _Values(None, read, operator.prepare_transposed(data))
        return _Gradient(units.new_gradient(own), units.new_gradient(looking), of_data, values)

    def accumulate(self, gradient: _Gradient, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        wide, states = self._wide(grad), self._wide(state)
        gathered = self._neighbours.matmul(gradient.values.data, wide, transposed=True)
        self._units.accumulate(gradient.own, wide, states)
        self._units.accumulate(gradient.looking, gathered, states)
        self._accumulate_data(gradient, wide, states)

    def edge_gradient(self, gradient: _Gradient) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`; 0 for ``a`` if it is not trained."""
        units = self._units
        own, looking = (units.edge_gradient(part) for part in (gradient.own, gradient.looking))
        of_data = own.new_zeros(self.index[0].numel())
        if gradient.data is not None:
            operator, order = self._neighbours.kernels(own.dtype)
            of_data[order] = operator.edge_gradient(gradient.data)
        return torch.cat([own, looking, of_data])

    def update(
        self, values: _Values, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        units, wide, sums = self._units, self._wide(state), self._wide(out)
        own = torch.empty_like(sums)
        units.update(values.own, wide, self._wide(injected), LINEAR, own)
        f = self._on_units(f)
        if self._neighbours.has_rows(wide):
            looked = torch.empty_like(sums)
            units.matmul(values.looking, wide, looked)
            following = self._neighbours.update(values.data, looked, own, f, sums)
        else:
            gathered = self._neighbours.matmul(values.data, wide)
            following = units.update(values.looking, gathered, own, f, sums)
        return self._tall(following, state.size(1))

    def adjoint(
        self,
        values: _Values,
        grad: Tensor,
        saved: Tensor,
        f: RowActivation,
        out: Tensor,
        *,
        gradient: _Gradient | None = None,
        total: Tensor | None = None,
        add: Tensor | None = None,
    ) -> None:
        """See :meth:`EdgeOperator.adjoint`; what neighbours send back is gathered once."""
        units, wide, sums = self._units, self._wide(grad), self._wide(out)
        gathered = self._neighbours.matmul(values.data, wide, transposed=True)
        if gradient is None:
            looked = torch.empty_like(sums)
            units.matmul_transposed(values.own, wide, sums)
            units.matmul_transposed(values.looking, gathered, looked)
            sums += looked
        else:
            states = self._wide(f(saved) if f.activation.needs_sums else saved)
            sums.zero_()
            units.add_adjoint(values.own, wide, states, gradient.own, sums)
            units.add_adjoint(values.looking, gathered, states, gradient.looking, sums)
            self._accumulate_data(gradient, wide, states)
        if add is not None:
            out += add
        f.backward_(out, saved)
        if total is not None:
            total += out

    def _accumulate_data(self, gradient: _Gradient, grad: Tensor, state: Tensor) -> None:
        """Accumulate the gradient of ``a``, if it is trained, from wide tensors."""
        if gradient.data is None:
            return
        looked = torch.empty_like(grad)
        self._units.matmul(gradient.values.looking, state, looked)
        by_node = self._neighbours.by_node
        operator = self._neighbours.kernels(grad.dtype)[0]
        operator.accumulate(gradient.data, by_node(grad), by_node(looked))

    def _on_units(self, f: RowActivation) -> RowActivation:
        return f._replace(num_rows=f.num_rows // max(1, self._num_nodes))

    def _split(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        num_data = self.index[0].numel()
        num_edges = (weight.numel() - num_data) // 2
        own, looking, data = torch.split(weight, [num_edges, num_edges, num_data])
        return own, looking, data
