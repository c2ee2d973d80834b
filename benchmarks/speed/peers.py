"""Other ways to compute the function of a layer, with its weights, for its gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_modules import SynchronousGraph, Unrolled
from pyg_modules.ops import EdgeSet


class Peer(nn.Module):
    """T synchronous updates, backpropagated step by step; tanh, no feedback from outputs.

    What inputs inject is computed once, and outputs are read once, as in the layer itself.
    """

    #: The package it needs, if any.
    needs: str | None = None

    def __init__(self, layer: SynchronousGraph) -> None:
        super().__init__()
        assert isinstance(layer.solver, Unrolled)
        assert layer.activation == "tanh"
        graph, device = layer.graph, layer.weight.device
        ends = {
            "injection": (graph.inputs, graph.hidden),
            "recurrence": (graph.hidden, graph.hidden),
            "readout": (graph.hidden, graph.outputs),
        }
        sets = {name: EdgeSet.between(graph.edge_index, *pair) for name, pair in ends.items()}
        weights = {
            name: layer.weight.detach()[edges.edge_ids.to(device)] for name, edges in sets.items()
        }
        self.steps = layer.solver.steps
        self.num_hidden = graph.num_hidden
        self.into = nn.Parameter(dense(sets["injection"], weights["injection"]))
        self.out_of = nn.Parameter(dense(sets["readout"], weights["readout"]))
        bias = layer.bias.detach().unsqueeze(1)
        self.bias = nn.Parameter(bias[: graph.num_hidden].clone())
        self.output_bias = nn.Parameter(bias[graph.num_hidden :].clone())
        self.prepare(sets["recurrence"], weights["recurrence"])

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [B, O] for inputs [B, I]."""
        injected = self.into @ x.T + self.bias
        weighted_sum = self.bind()
        state = torch.zeros_like(injected)
        for _ in range(self.steps):
            state = torch.tanh(weighted_sum(state) + injected)
        return (self.out_of @ state + self.output_bias).T

    @abstractmethod
    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """Keep the recurrent edges with their weights."""

    @abstractmethod
    def bind(self) -> Callable[[Tensor], Tensor]:
        """The weighted sums of states [H, B]."""


def dense(edges: EdgeSet, weight: Tensor) -> Tensor:
    """The weights of a set of edges as a dense matrix."""
    matrix = weight.new_zeros(edges.num_targets, edges.num_sources)
    return matrix.index_put(
        (edges.target.to(weight.device), edges.source.to(weight.device)), weight
    )


class ScatterPeer(Peer):
    """PyG's ``MessagePassing`` with weights on the edges."""

    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """See :meth:`Peer.prepare`."""
        self.weight = nn.Parameter(weight)
        self.edge_index = torch.stack([edges.source, edges.target]).to(weight.device)
        self.convolution = _WeightedSum()

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        return lambda state: self.convolution(state, self.edge_index, self.weight)


class _WeightedSum(MessagePassing):
    def __init__(self) -> None:
        super().__init__(aggr="add", node_dim=0)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        sums: Tensor = self.propagate(edge_index, x=x, edge_weight=edge_weight)
        return sums

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.unsqueeze(-1) * x_j


class MaskedDensePeer(Peer):
    """A dense matrix times a mask of the edges."""

    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """See :meth:`Peer.prepare`."""
        self.weight = nn.Parameter(dense(edges, weight))
        self.register_buffer("mask", dense(edges, torch.ones_like(weight)))

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        matrix = self.weight * self.get_buffer("mask")
        return lambda state: matrix @ state


class StepwiseCSRPeer(Peer):
    """A CSR matrix with its own autograd function for every update: this project's first engine."""

    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """See :meth:`Peer.prepare`."""
        self.weight = nn.Parameter(weight)
        device = weight.device
        order = torch.argsort(edges.source * edges.num_targets + edges.target)
        size = self.num_hidden
        self.pattern = _offsets(edges.target, size).to(device), edges.source.int().to(device)
        self.transposed = (
            _offsets(edges.source[order], size).to(device),
            edges.target[order].int().to(device),
        )
        self.order = order.to(device)

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        transposed = self.weight.detach()[self.order]
        return lambda state: _CSRMatmul.apply(  # type: ignore[no-untyped-call]
            self.weight, transposed, state, self.pattern, self.transposed
        )


class _CSRMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, transposed_values: Tensor, state: Tensor, *patterns: Any):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(transposed_values, state)
        ctx.patterns = patterns
        return _csr(patterns[0], values, len(state)) @ state

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        transposed_values, state = ctx.saved_tensors
        grad = grad.contiguous()
        grad_values = grad_state = None
        if ctx.needs_input_grad[0]:
            nothing = _csr(ctx.patterns[0], torch.zeros_like(transposed_values), len(state))
            sampled = torch.sparse.sampled_addmm(nothing, grad, state.t(), beta=0.0)
            grad_values = sampled.values()
        if ctx.needs_input_grad[2]:
            grad_state = _csr(ctx.patterns[1], transposed_values, len(state)) @ grad
        return grad_values, None, grad_state, None, None


class TorchCSRPeer(Peer):
    """``torch.sparse`` CSR with the gradients of torch itself."""

    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """See :meth:`Peer.prepare`."""
        self.weight = nn.Parameter(weight)
        device = weight.device
        offsets = _offsets(edges.target, self.num_hidden)
        self.pattern = offsets.to(device), edges.source.int().to(device)

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        matrix = _csr(self.pattern, self.weight, self.num_hidden)
        return lambda state: torch.sparse.mm(matrix, state)


class SparseGradUtilsPeer(TorchCSRPeer):
    """``torchsparsegradutils.sparse_mm``: gradients at the edges only."""

    needs = "torchsparsegradutils"

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        from torchsparsegradutils import sparse_mm

        matrix = _csr(self.pattern, self.weight, self.num_hidden)
        return lambda state: sparse_mm(matrix, state)


class TorchScatterPeer(Peer):
    """``torch_scatter.segment_csr`` over the messages."""

    needs = "torch_scatter"

    def prepare(self, edges: EdgeSet, weight: Tensor) -> None:
        """See :meth:`Peer.prepare`."""
        self.weight = nn.Parameter(weight)
        self.source = edges.source.to(weight.device)
        self.offsets = _offsets(edges.target, self.num_hidden).long().to(weight.device)

    def bind(self) -> Callable[[Tensor], Tensor]:
        """See :meth:`Peer.bind`."""
        from torch_scatter import segment_csr

        column = self.weight.unsqueeze(-1)
        return lambda state: segment_csr(column * state[self.source], self.offsets)


class MaskedDenseAutocastPeer(MaskedDensePeer):
    """The same under autocast in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        """See :meth:`Peer.forward`."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).float()


class LayerUnderAutocast(nn.Module):
    """The layer itself, under autocast in bfloat16."""

    needs: str | None = None

    def __init__(self, layer: SynchronousGraph) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [B, O] for inputs [B, I]."""
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs: Tensor = self.layer(x)
        return outputs.float()


PEERS: dict[str, type[Peer] | type[LayerUnderAutocast]] = {
    "PyG scatter": ScatterPeer,
    "torch-scatter": TorchScatterPeer,
    "masked dense": MaskedDensePeer,
    "stepwise CSR": StepwiseCSRPeer,
    "torch CSR": TorchCSRPeer,
    "torchsparsegradutils": SparseGradUtilsPeer,
    "masked dense, bfloat16": MaskedDenseAutocastPeer,
    "ours, bfloat16": LayerUnderAutocast,
}


def is_installed(peer: type[Peer] | type[LayerUnderAutocast]) -> bool:
    """Whether the package that the peer needs can be imported."""
    return peer.needs is None or find_spec(peer.needs) is not None


def _offsets(rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(rows, minlength=num_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()


def _csr(pattern: tuple[Tensor, Tensor], values: Tensor, size: int) -> Tensor:
    return torch.sparse_csr_tensor(*pattern, values, (size, size), check_invariants=False)
