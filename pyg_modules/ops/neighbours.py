from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.determinism import is_deterministic
from pyg_modules.ops.dispatch import is_available
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.operator import BACKENDS, EdgeOperator

# Whichever is there first; a new graph comes with every mini-batch, so that none is timed.
_PREFERRED = ("numba", "triton", "sparse", "scatter")


class Neighbours:
    r"""The edges of a data graph: every node gets :math:`\sum_u a_{vu} h_u` of its neighbours.

    States are those of units on nodes, ``[n, P * B]``: n units, P nodes, B samples. Edges that join
    the same nodes add up.

    Args:
        source (LongTensor): Where the edges start, ``[m]``.
        target (LongTensor): Where they end, ``[m]``.
        num_nodes (int): Number of nodes P.
    """

    def __init__(self, source: Tensor, target: Tensor, num_nodes: int) -> None:
        self.source, self.target, self.num_nodes = source, target, num_nodes
        self._kernels: dict[tuple[torch.dtype, bool], tuple[EdgeOperator, Tensor]] = {}

    @classmethod
    def again(
        cls, latest: Neighbours | None, source: Tensor, target: Tensor, num_nodes: int
    ) -> Neighbours:
        """Those of these edges, with what ``latest`` has built where it is of the same ones.

        So a training on one graph builds the operator once. Edges are copied, and compared by
        their numbers: others may write into them.
        """
        ends = source, target
        if latest is not None and latest.num_nodes == num_nodes:
            known = latest.source, latest.target
            if source.device == known[0].device and all(map(torch.equal, ends, known)):
                return latest
        with torch.inference_mode(False):
            return cls(source.clone(), target.clone(), num_nodes)

    def kernels(self, dtype: torch.dtype) -> tuple[EdgeOperator, Tensor]:
        """The operator over the edges, and their positions in its order; built in O(m).

        Args:
            dtype (torch.dtype): Of the states.
        """
        key = dtype, is_deterministic()
        if key not in self._kernels:
            nodes = range(self.num_nodes)
            with torch.inference_mode(False):
                edge_index = torch.stack([self.source, self.target])
                edges = EdgeSet.between(edge_index, nodes, nodes)
                operator = _backend(self.source.device, dtype).build(edges)
            self._kernels[key] = operator, edges.edge_ids
        return self._kernels[key]

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """The sums of states ``[n, P * B]`` as torch's own operations, differentiable.

        Args:
            weight (Tensor): The edges' weights a, ``[m]``.
        """
        source, target, num_nodes = self.source, self.target, self.num_nodes
        column = weight.unsqueeze(-1)

        def gathered(state: Tensor) -> Tensor:
            of_nodes = state.reshape(state.size(0), num_nodes, state.size(1) // max(1, num_nodes))
            messages = column * of_nodes.index_select(1, source)
            # Added up one by one, numbers of half precision get lost beside their sum.
            wide = torch.promote_types(messages.dtype, torch.float32)
            sums = torch.zeros_like(of_nodes, dtype=wide).index_add(1, target, messages.to(wide))
            return sums.to(state.dtype).reshape(state.shape)

        return gathered

    def bind(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """:meth:`compose` by kernels, differentiable once."""
        operator, order = self.kernels(weight.dtype)
        weighted_sum = bind(operator, weight.index_select(0, order))
        return lambda state: self.by_unit(weighted_sum(self.by_node(state)), state.shape)

    def by_node(self, state: Tensor) -> Tensor:
        """States ``[n, P * B]`` as the operator reads them, ``[P, n * B]``."""
        return _turned(state, state.size(0), self.num_nodes)

    def by_unit(self, state: Tensor, shape: torch.Size) -> Tensor:
        """States ``[P, n * B]`` of :meth:`by_node` as they were, in ``shape`` [n, P * B]."""
        return _turned(state, self.num_nodes, shape[0]).view(shape)

    def matmul(self, values: Tensor, state: Tensor, *, transposed: bool = False) -> Tensor:
        """The sums ``[n, P * B]``.

        Args:
            values (Tensor): What the operator prepared.
            state (Tensor): ``[n, P * B]``.
            transposed (bool, optional): Whether along the edges backwards. (default: ``False``)
        """
        operator = self.kernels(state.dtype)[0]
        if self.has_rows(state):
            out = torch.empty_like(state)
            operator.matmul_from_rows(values, state, out, transposed=transposed)
            return out
        columns = self.by_node(state)
        sums = torch.empty_like(columns)
        product = operator.matmul_transposed if transposed else operator.matmul
        product(values, columns, sums)
        return self.by_unit(sums, state.shape)

    def has_rows(self, state: Tensor) -> bool:
        """Whether the operator reads the states ``[n, P * B]`` as they are."""
        return state.size(1) == self.num_nodes and self.kernels(state.dtype)[0].has_rows

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """The sums with ``injected``, and ``f`` of them, as :meth:`EdgeOperator.update`.

        Only for states that :meth:`has_rows` is true of.
        """
        return self.kernels(state.dtype)[0].update_from_rows(values, state, injected, f, out)


def _backend(device: torch.device, dtype: torch.dtype) -> type[EdgeOperator]:
    for name in _PREFERRED:
        backend = BACKENDS[name]
        repeats = device.type not in backend.nondeterministic_devices or not is_deterministic()
        if repeats and is_available(name, device, dtype):
            return backend
    raise ValueError(
        f"Expected a device for states of {dtype} (got {device})."
        " Use another dtype there, or another device."
    )


def _turned(state: Tensor, rows: int, columns: int) -> Tensor:
    """``[rows, columns * B]`` as ``[columns, rows * B]``, contiguous."""
    if state.size(1) == columns:  # torch copies a matrix faster than what it does not know as one.
        return state.t().contiguous()
    batch = state.size(1) // max(1, columns)
    turned = state.reshape(rows, columns, batch).transpose(0, 1).contiguous()
    return turned.view(columns, rows * batch)
