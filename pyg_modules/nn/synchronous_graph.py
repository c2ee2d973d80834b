from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch_geometric.nn import MessagePassing

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.backed_layer import BackedLayer
from pyg_modules.nn.check_tensor import check_tensor
from pyg_modules.nn.messages import check_messages
from pyg_modules.nn.network_reader import NetworkReader
from pyg_modules.nn.unit_layer import Prepared, check_observe, spare_generator
from pyg_modules.ops.tracing import as_leaf, is_recording, recorded
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled


class SynchronousGraph(BackedLayer, MessagePassing):
    r"""A layer whose units are the nodes of one learnable, possibly cyclic unit graph.

    All units that are not inputs take their new state from the previous state of all their
    sources, at once:

    .. math::
        h_i \leftarrow f \Big( \sum_{j \to i} w_{ij} h_j + b_i \Big), \qquad h_i = 0
        \text{ at first},

    with :math:`f` the activation (outputs: identity) and the inputs clamped, :math:`h_I = x`. When
    the solver stops, the outputs are read once from the last state,
    :math:`y_o = \sum_j w_{oj} h_j + b_o`.

    From `Automatic Organization of Neural Modules for Enhanced Collaboration in Neural Networks
    <https://arxiv.org/abs/2005.04088>`_.

    Args:
        graph (UnitGraph): The units and the edges between them.
        solver (Solver, optional): When the updates stop. (default: ``Unrolled(steps=6)``)
        activation (str or sequence of str, optional): ``"relu"``, ``"tanh"``, ``"sigmoid"``,
            ``"gelu"``, ``"silu"``, ``"elu"``, ``"softplus"``, ``"identity"`` or ``"prelu"``, whose
            slope at negative sums every unit learns, from 0.25 on; or a name per hidden unit.
            (default: ``"relu"``)
        dropout (float, optional): Probability that a hidden unit is 0 in training. It is drawn once
            per call and sample and holds for all its updates, as in `"A Theoretically Grounded
            Application of Dropout in Recurrent Neural Networks" <https://arxiv.org/abs/1512.05287>`_
            , so that an equilibrium exists; the others are divided by :math:`1 - p`. (default: 0)
        update_rate (float, optional): The part a of the way to the new state that a hidden unit
            goes at every update, :math:`h_i \leftarrow (1 - a) h_i + a f(\dots)`. It changes no
            equilibrium. (default: 1)
        learn_update_rate (bool, optional): Whether every hidden unit learns an a of its own, from
            ``update_rate`` on; nothing keeps it between 0 and 1. With an :class:`Equilibrium`, of
            which it changes nothing, it is not learned. (default: ``False``)
        backend (str, optional): How the weighted sums are computed: ``"numba"`` (compiled CSR
            loops, on the CPU), ``"sparse"`` (CSR matrices of torch), ``"dense"`` (a dense matrix),
            ``"block"`` (batches of dense matrices, once the graph is cut into modules),
            ``"triton"`` and ``"triton_block"`` (CSR and blocks in kernels for CUDA), ``"scatter"``
            (PyG's message passing, which alone has second derivatives) or ``"auto"``, the fastest
            of them for the graph, the batch and the device; see :meth:`backend_report`. (default:
            ``"auto"``)
        device (torch.device, optional): Device of the parameters.
        dtype (torch.dtype, optional): Floating type of the parameters.
        generator (torch.Generator, optional): Source of the random initial weights, on ``device``;
            the global one of torch by default.

    Shapes:
        - **input:** :math:`(*, I)`, in the dtype and on the device of the parameters; under
          ``torch.autocast`` in any floating dtype
        - **output:** :math:`(*, O)`, in the dtype of the parameters; on CUDA under autocast, with
          an :class:`Unrolled` solver, states and outputs are in that of autocast

    Attributes:
        weight: One weight per edge, in the order of ``graph.edge_index``, ``[E]``.
        bias: Biases of the hidden and the output units, ``[N - I]``.
        dynamics: What hidden units make of their sums, with the learned slopes and rates.
        labels: Module of every unit if the layer was made by :func:`pyg_modules.cut`, ``[N]``, −1
            for units that all modules share; else ``None``.
        edge_mask: Edges that are left after :func:`pyg_modules.prune_cross_edges`, ``[E]``; else
            ``None``.
        origin: Where the units of a part come from if :func:`pyg_modules.split` made it; else
            ``None``.

    A NaN in the input spreads as it does through :class:`torch.nn.Linear`; it is not searched for.

    Example:
        >>> import torch
        >>> from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 128, 10), Unrolled(steps=6))
        >>> layer(torch.rand(32, 64)).shape
        torch.Size([32, 10])
    """

    kind = "SynchronousGraph"

    bias: nn.Parameter
    propagate: Callable[..., Tensor]

    def __init__(
        self,
        graph: UnitGraph,
        solver: Solver | None = None,
        activation: str | Sequence[str] = "relu",
        *,
        dropout: float = 0.0,
        update_rate: float = 1.0,
        learn_update_rate: bool = False,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            graph,
            solver,
            activation,
            dropout=dropout,
            update_rate=update_rate,
            learn_update_rate=learn_update_rate,
            backend=backend,
            device=device,
            dtype=dtype,
            generator=generator,
            aggr="add",
            node_dim=0,
        )

    @classmethod
    def from_module(
        cls, model: nn.Module, *, dropout: float = 0.0, backend: str = "auto"
    ) -> SynchronousGraph:
        """The function that ``model`` computes in evaluation, to rounding, as a unit graph.

        Every hidden unit of ``model`` is one of the graph; edges that skip levels are what
        connections that skip layers are. ``Dropout`` is left out, ``BatchNorm1d`` is folded into
        the weights beside it, and a ``LeakyReLU`` becomes a ``"prelu"`` with its slope. A
        ``Flatten`` at the start stays outside: give the layer ``x.flatten(1)``. So does a
        ``Softmax``, ``LogSoftmax`` or ``Sigmoid`` at the end, which losses of torch do without.

        Args:
            model (torch.nn.Module): ``Linear``, activations and the modules above, nested as they
                are in ``Sequential``, in :class:`torch_geometric.nn.MLP`, or in a module that
                ``torch.fx`` can trace, with sums, constants and concatenations between them. Its
                parameters are copied, once for every place where they are used.
            dropout (float, optional): Of all hidden units, as for the class. (default: 0)
            backend (str, optional): As for the class. (default: ``"auto"``)

        Raises:
            TypeError: If ``model`` is no module.
            ValueError: If it contains anything else; the message says what, and why.

        Warns:
            UserWarning: If a last step is left outside.
        """
        parts = NetworkReader(model).read()
        layer = cls(
            parts.graph,
            Unrolled(steps=max(1, parts.num_levels)),
            parts.activation or "identity",
            dropout=dropout,
            device=parts.weight.device,
            dtype=parts.weight.dtype,
            backend=backend,
            generator=spare_generator(parts.weight.device),
        )
        with torch.no_grad():
            layer.weight.copy_(parts.weight)
            layer.bias.copy_(parts.bias)
            if layer.dynamics.slope is not None:
                layer.dynamics.slope.copy_(parts.slope)
        return layer

    from_mlp = from_module

    # Computing ###############################################################################

    def forward(self, x: Tensor, *others: object) -> Tensor:
        """The outputs, ``[*, O]``, for the inputs ``x``, ``[*, I]``; ``others`` are refused."""
        if isinstance(others, tuple) and others:  # For torch.fx they are a stand-in.
            raise TypeError(
                f"Expected x alone (got {len(others)} more): the edges of the layer are those of"
                f" its own graph, not of the data. Call layer(x) after a convolution,"
                f" layer(conv(x, edge_index)), or put it into one: GINConv(nn=layer)."
            )
        if isinstance(x, Proxy):
            return as_leaf(self, x)
        if is_recording():
            with recorded():
                return self._compute(SynchronousGraph._outputs, x)
        return self._compute(SynchronousGraph._outputs, x)

    def states(self, x: Tensor) -> Tensor:
        """The states of all units when the solver has stopped.

        Args:
            x (Tensor): Inputs, ``[*, I]``.

        Returns:
            Tensor: ``[*, N]``: the inputs, the hidden states, the outputs as :meth:`forward`
            returns them.
        """
        return self._compute(SynchronousGraph._states, x)

    def solve(self, x: Tensor, *, observe: Callable[[Tensor], None] | None = None) -> Solution:
        """The states that :meth:`states` returns, and how well the units agree.

        Args:
            x (Tensor): Inputs, ``[*, I]``.
            observe (Callable, optional): Told the relative residuals of all samples, ``[B]`` with B
                the product of the leading dimensions, after every update. An equilibrium that is
                not reached is then no error, and no warning. (default: none)

        Returns:
            Solution: ``states`` [*, N] and, of shape ``[*]``, the relative ``residual`` that one
            more update would leave; for an :class:`Equilibrium` also the number of ``steps`` of
            every sample, whether it ``converged`` and, after a backward pass, ``adjoint``, the same
            for the gradients, with ``states`` of ``[n, B]`` for the n units that are iterated.
        """
        check_observe(observe)
        return self._compute(SynchronousGraph._solution, x, observe)

    def step(self, states: Tensor) -> Tensor:
        """One synchronous update of all units, as plain PyG message passing.

        It is the definition that :meth:`forward` computes faster, for looking inside: hooks on
        messages work here. It has no dropout.

        Args:
            states (Tensor): States of all units, ``[*, N]``; inputs are kept as they are.

        Returns:
            Tensor: The next states, ``[*, N]``.
        """
        if self._has_autocast(states):
            return self._without_autocast(SynchronousGraph.step, states)
        self._check_whole()
        check_tensor("states", states, self.graph.num_units, "units", self._stored)
        num_units = self.graph.num_units
        columns = states.reshape(reduce(mul, states.shape[:-1], 1), num_units).T
        columns = self.propagate(
            self._edge_index(states.device),
            x=columns,
            edge_weight=self.scaled_weight(),
            size=(num_units, num_units),
        )
        following: Tensor = columns.T.reshape(states.shape)
        return following

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """What every edge carries, ``[E, B]``."""
        return edge_weight.unsqueeze(-1) * x_j

    def update(self, inputs: Tensor, x: Tensor) -> Tensor:
        """The next states, ``[N, B]``, from the summed messages ``inputs`` and the states ``x``."""
        num_inputs = self.graph.num_inputs
        sums = inputs[num_inputs:] + self.bias.unsqueeze(-1)
        return torch.cat([x[:num_inputs], self._update().next(sums, x[num_inputs:])])

    def _prepared(
        self,
        x: Tensor,
        like: Tensor,
        *data: Any,  # noqa: ARG002
        observe: Callable[[Tensor], None] | None = None,
    ) -> Prepared:
        self._check_whole()
        check_messages(self, SynchronousGraph)
        check_tensor("x", x, self.graph.num_inputs, "inputs", like)
        # Other products would fix the batch of an exported or of a traced program.
        batch = reduce(mul, x.shape[:-1], 1)
        operators = self._operators(self.backend, batch, like.dtype)
        mask = self.dynamics.draw_mask(batch, like)
        update = self.dynamics.update(operators.recurrence, mask)
        clamped = x.reshape(batch, self.graph.num_inputs).T.contiguous()
        weights = self._scaled_weight(update, like.dtype)[1]
        return self._prepare(clamped, update, operators, weights, observe=observe)

    def _read(self, prepared: Prepared, states: Tensor, x: Tensor) -> Tensor:
        outputs = prepared.read(states).T.contiguous()
        outputs = outputs.view(*x.shape[:-1], self.graph.num_outputs)
        # The sum comes last: fully_shard, for one, wants outputs that are no views.
        assert prepared.output_bias is not None
        return outputs + prepared.output_bias

    def _all_states(self, x: Tensor, states: Tensor, outputs: Tensor) -> Tensor:
        num_hidden = self.graph.num_hidden
        hidden = states[:num_hidden].T.reshape(*x.shape[:-1], num_hidden)
        return torch.cat([x, hidden, outputs], dim=-1)

    def _edge_index(self, device: torch.device) -> Tensor:
        return self.graph.cached(("edge_index", device), lambda: self.graph.edge_index.to(device))
