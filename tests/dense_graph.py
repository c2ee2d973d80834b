"""The layer by its definition: a plain module of torch, one dense matrix and ordinary products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_modules import Equilibrium, SynchronousGraph
from tests.references import ACTIVATIONS

#: The largest slopes of the activations, rounded as the package says.
SLOPES = {"sigmoid": 0.25, "gelu": 1.129, "silu": 1.0999}


class DenseGraph(nn.Module):
    """What a ``SynchronousGraph`` computes, with parameters of the same names and values.

    It reads each parameter once per call, and computes in their dtype, also under autocast.

    Args:
        layer (SynchronousGraph): The layer. Its parameters are copied.
    """

    def __init__(self, layer: SynchronousGraph) -> None:
        super().__init__()
        self.graph, self.solver, self.activation = layer.graph, layer.solver, layer.activation
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = nn.Parameter(layer.bias.detach().clone())
        self.register_buffer("edge_mask", None)
        if layer.edge_mask is not None:
            self.edge_mask = layer.edge_mask.clone()
        device = layer.weight.device
        self.edges = layer.graph.edge_index.to(device)
        end = self.graph.num_units if self.graph.has_feedback else self.graph.hidden.stop
        self.iterated = slice(self.graph.num_inputs, end)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta:  # It knows no autocast.
            return self._outputs(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._outputs(x.to(next(self.parameters()).dtype))

    def _outputs(self, x: Tensor) -> Tensor:
        graph, iterated = self.graph, self.iterated
        weight = self.weight
        if self.edge_mask is not None:
            weight = weight * self.edge_mask.to(weight.device)
        matrix = self._matrix(weight)
        bias = torch.cat([x.new_zeros(graph.num_inputs), self.bias])
        rows, columns = matrix[iterated], slice(0, graph.num_inputs)
        recurrent = rows[:, iterated]
        injected = x @ rows[:, columns].T + bias[iterated]
        if isinstance(self.solver, Equilibrium):
            state = self._fixed_point(recurrent, injected)
        else:
            state = torch.zeros_like(injected)
            for _ in range(self.solver.steps):
                state = self._f(injected + state @ recurrent.T)
        sources = torch.cat([x, state], dim=-1)
        outputs = slice(graph.outputs.start, graph.num_units)
        return sources @ matrix[outputs, : sources.size(-1)].T + bias[outputs]

    def _matrix(self, weight: Tensor) -> Tensor:
        """All weights as a matrix [N, N], from row and column of target and source."""
        matrix = weight.new_zeros(2 * [self.graph.num_units])
        matrix = matrix.index_put((self.edges[1], self.edges[0]), weight)
        if getattr(self.solver, "contraction", None) is None:
            return matrix
        recurrent = matrix[self.iterated, self.iterated]
        slope = SLOPES.get(self.activation, 1.0)
        if self.graph.has_feedback:
            slope = max(slope, 1.0)  # Outputs are linear.
        limit = self.solver.contraction / slope
        if (
            recurrent.numel() == 0
            or recurrent.is_meta
            or torch.linalg.matrix_norm(recurrent.detach(), 2) <= limit
        ):
            return matrix
        scale = torch.ones_like(matrix)
        norm = torch.linalg.matrix_norm(recurrent, 2)
        scale[self.iterated, self.iterated] = limit / norm
        return matrix * scale

    def _f(self, sums: Tensor) -> Tensor:
        hidden = self.graph.num_hidden
        return torch.cat([ACTIVATIONS[self.activation](sums[..., :hidden]), sums[..., hidden:]], -1)

    def _fixed_point(self, recurrent: Tensor, injected: Tensor) -> Tensor:
        """The state that an update leaves; one step of Newton has the derivative of the solution.

        That is the implicit function theorem: ``dh = (I - D W)^-1 D (dW h + dc)``.
        """
        with torch.no_grad():
            state = torch.zeros_like(injected)
            for _ in range(300):
                before, state = state, self._f(injected + state @ recurrent.T)
                # Nothing more changes, to the last bit; on meta there is nothing that could.
                if state.is_meta or torch.equal(state, before):
                    break
        if not torch.is_grad_enabled():
            return state
        # Hooks on saved tensors, such as those of a checkpoint, are not for this.
        own = torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: kept)
        with torch.enable_grad(), own:
            sums = (injected + state @ recurrent.T).detach().requires_grad_()
            (slopes,) = torch.autograd.grad(self._f(sums).sum(), sums)
        eye = torch.eye(recurrent.size(0), dtype=recurrent.dtype, device=recurrent.device)
        jacobian = slopes.unsqueeze(-1) * recurrent.detach()
        difference = self._f(injected + state @ recurrent.T) - state
        return state + torch.linalg.solve(eye - jacobian, difference.unsqueeze(-1)).squeeze(-1)


class DenseSum(nn.Module):
    """What a ``ModularGraph`` computes: the sum of the outputs of its parts."""

    def __init__(self, parts: nn.ModuleList) -> None:
        super().__init__()
        self.parts = nn.ModuleList(DenseGraph(part) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        return sum(part(x) for part in self.parts)
