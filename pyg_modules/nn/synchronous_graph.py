from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import chain
from operator import mul
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch_geometric.nn import MessagePassing

from pyg_modules._checks import as_int, check_device
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.check_tensor import check_tensor
from pyg_modules.nn.network_reader import NetworkReader
from pyg_modules.nn.origin import Origin
from pyg_modules.nn.state_to_load import state_to_load
from pyg_modules.nn.storage import load_layer, save_layer
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.nn.wiring import Operators, Wiring
from pyg_modules.ops.dispatch import BackendReport, check_backend
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.sharding import is_sharded, overwrite, whole
from pyg_modules.ops.tracing import (
    as_leaf,
    has_autocast,
    is_compiling,
    is_recording,
    is_transforming,
    recorded,
    refuse_script,
    unrecorded,
    without_autocast,
)
from pyg_modules.ops.update import Update
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled

T = TypeVar("T")

# What a compiler or an exporter, which does not look at the batch, is told.
_USUAL_BATCH = 128


class SynchronousGraph(MessagePassing):
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
            ``update_rate`` on; nothing keeps it between 0 and 1. (default: ``False``)
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
          ``torch.autocast`` in any floating dtype, as it is cast to that of the parameters
        - **output:** :math:`(*, O)`, in the dtype of the parameters, under autocast too

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

    labels: Tensor | None
    edge_mask: Tensor | None

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
        super().__init__(aggr="add", node_dim=0)
        if not isinstance(graph, UnitGraph):
            raise TypeError(
                f"Expected graph to be a UnitGraph (got {type(graph).__name__}). Build one, e.g."
                f" UnitGraph.complete(num_inputs, num_hidden, num_outputs)."
            )
        if solver is not None and not isinstance(solver, Solver):
            raise TypeError(
                f"Expected solver to be a Solver (got {type(solver).__name__}), e.g."
                f" Unrolled(steps=6)."
            )
        self.graph = graph
        self.solver = solver or Unrolled()
        num_biases = graph.num_units - graph.num_inputs
        self.weight = nn.Parameter(torch.empty(graph.num_edges, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(num_biases, device=device, dtype=dtype))
        self.dynamics = UnitDynamics(
            graph.num_hidden, activation, dropout, update_rate, learn_update_rate, device, dtype
        )
        self.register_buffer("labels", None)
        self.register_buffer("edge_mask", None)
        self.origin: Origin | None = None
        self.reset_parameters(generator)
        self.backend = backend

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

    def on_graph(
        self, graph: UnitGraph, solver: Solver, dynamics: UnitDynamics | None = None
    ) -> SynchronousGraph:
        """A layer on another graph, in all else like this one, whose weights are to be set.

        Nothing is drawn for them from torch's global generator.

        Args:
            graph (UnitGraph): Its units and edges.
            solver (Solver): Its solver.
            dynamics (UnitDynamics, optional): That of its hidden units. (default: a copy of that of
                this layer)
        """
        if dynamics is None:
            dynamics = self.dynamics.select(torch.arange(graph.num_hidden, device="cpu"))
        layer = SynchronousGraph(
            graph,
            solver,
            **dynamics.config(),
            backend=self.backend,
            device=self.device,
            dtype=self.dtype,
            generator=spare_generator(self.device),
        )
        layer.dynamics = dynamics.to(self.device)
        layer.train(self.training)
        layer.weight.requires_grad_(self.weight.requires_grad)
        layer.bias.requires_grad_(self.bias.requires_grad)
        return layer

    @property
    def activation(self) -> str | tuple[str, ...]:
        """The name of the activation function, or those of every hidden unit."""
        return self.dynamics.activation

    @property
    def in_channels(self) -> int:
        """Number of inputs I, by the name under which PyG looks for it."""
        return self.graph.num_inputs

    @property
    def out_channels(self) -> int:
        """Number of outputs O, by the name under which PyG looks for it."""
        return self.graph.num_outputs

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._stored.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the parameters."""
        return self._stored.dtype

    @property
    def _stored(self) -> Tensor:
        """A parameter as it is stored, for its device and dtype.

        The weights themselves are read once per call: a parametrization computes them every time.
        """
        own: Iterable[Tensor] = self._parameters.values()
        parametrized: Iterable[Tensor] = self.parameters()
        return next(chain(own, parametrized))

    @property
    def backend(self) -> str:
        """How the weighted sums are computed, ``"auto"`` or the name of a backend."""
        return self._backend

    @backend.setter
    def backend(self, backend: str) -> None:
        check_backend(backend)
        self._operators(backend, _USUAL_BATCH)  # Raises before the change.
        self._backend = backend

    def backend_report(self, batch: int) -> BackendReport:
        """Which backend computes what for ``batch`` samples, and why: print it.

        Where no cost model was measured, on a CUDA device for example, the backends are timed, as
        they are at the first forward pass with a batch of about this size.

        Args:
            batch (int): Number of samples, all leading dimensions multiplied.
        """
        batch = as_int("batch", batch, smallest=0)
        return self._wiring().report(self.backend, self.dtype, batch)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases of unit i from U(-1/sqrt(d_i), 1/sqrt(d_i)), d_i its in-degree.

        For a layered graph this is the initialisation of :class:`torch.nn.Linear`.

        Args:
            generator (torch.Generator, optional): Source of randomness; the global one of torch by
                default.
        """
        super().reset_parameters()
        self.dynamics.reset_parameters()
        target = self.graph.edge_index[1]
        degree = torch.bincount(target, minlength=self.graph.num_units).clamp(min=1)
        bound = degree.to(self.device, self.dtype).rsqrt()
        of_edges, of_units = bound[target.to(bound.device)], bound[self.graph.num_inputs :]
        for parameter, bounds in ((self.weight, of_edges), (self.bias, of_units)):
            drawn = torch.empty_like(bounds) if is_sharded(parameter) else parameter
            with torch.no_grad():
                drawn.uniform_(-1, 1, generator=generator).mul_(bounds)
            if drawn is not parameter:
                overwrite(parameter, drawn)

    __prepare_scriptable__ = refuse_script

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
        if self._has_autocast(x):
            return self._without_autocast(SynchronousGraph.forward, x)
        if is_recording():
            with recorded():
                return self._outputs(x)
        return self._outputs(x)

    def states(self, x: Tensor) -> Tensor:
        """The states of all units when the solver has stopped.

        Args:
            x (Tensor): Inputs, ``[*, I]``.

        Returns:
            Tensor: ``[*, N]``: the inputs, the hidden states, the outputs as :meth:`forward`
            returns them.
        """
        if self._has_autocast(x):
            return self._without_autocast(SynchronousGraph.states, x)
        recurrence, read = self._prepared(x)
        states = self.solver.solve(recurrence).states
        return self._all_states(x, states, read(states))

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
        if observe is not None and is_compiling():
            raise RuntimeError(
                "Expected no observe= under torch.compile or torch.export (got one): they do not"
                " call it. Solve outside of what is compiled."
            )
        if self._has_autocast(x):
            return self._without_autocast(SynchronousGraph.solve, x, observe=observe)
        recurrence, read = self._prepared(x, observe)
        solution = self.solver.solve(recurrence)
        if solution.residual is None:
            with torch.no_grad():
                solution.residual = recurrence.residual(solution.states)
        states = self._all_states(x, solution.states, read(solution.states))
        return solution.reshaped(states, x.shape[:-1])

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

    def edge_weight(self) -> Tensor:
        """The weights, exactly 0 on edges that were pruned, ``[E]``, differentiable.

        Those that ``fully_shard`` spread over ranks are gathered: all ranks have to ask for them,
        and to compute the same with them where they are trained by it.
        """
        with without_autocast(self.device):  # A parametrization may be a product of matrices.
            weight = whole(self.weight)
        return weight if self.edge_mask is None else torch.where(self.edge_mask, weight, 0.0)

    def scaled_weight(self) -> Tensor:
        """The weights as the solver uses them, ``[E]``, differentiable.

        They are :meth:`edge_weight`, but for an :class:`Equilibrium` with ``contraction``.
        """
        return self._scaled_weight(self._update())[0]

    def weights_by_edge_set(self) -> tuple[Tensor, ...]:
        """:meth:`scaled_weight` in the four sets of edges that are computed apart.

        Returns:
            tuple: Weights of the edges from inputs to the units that are iterated (the hidden ones,
            and outputs that feed back), among these, from these to outputs, and from inputs to
            outputs; each by target, then source.
        """
        return self._scaled_weight(self._update())[1]

    def _scaled_weight(self, update: Update) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The weights as the solver uses them, as a whole and by edge set."""
        weight = self.edge_weight()
        parts = self._wiring().split(weight)
        scaled = self.solver.scaled(update, parts[1])
        if scaled is not parts[1]:
            weight = weight.index_copy(0, self._wiring().recurrent_edges, scaled)
            # With feedback, edges into outputs are scaled in two sets.
            parts = self._wiring().split(weight)
        return weight, parts

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """What every edge carries, ``[E, B]``."""
        return edge_weight.unsqueeze(-1) * x_j

    def update(self, inputs: Tensor, x: Tensor) -> Tensor:
        """The next states, ``[N, B]``, from the summed messages ``inputs`` and the states ``x``."""
        num_inputs = self.graph.num_inputs
        sums = inputs[num_inputs:] + self.bias.unsqueeze(-1)
        return torch.cat([x[:num_inputs], self._update().next(sums, x[num_inputs:])])

    def _has_autocast(self, x: Tensor) -> bool:
        """Whether autocast looks on, and ``x`` can be cast back."""
        return has_autocast(self.device) and isinstance(x, Tensor) and x.is_floating_point()

    def _without_autocast(self, method: Callable[..., T], x: Tensor, **kwargs: Any) -> T:
        """``method`` of ``x`` in the dtype of the layer, as the kernels know no other.

        It is one of the class, as that of the instance may have been replaced by one that calls it.
        """
        with without_autocast(self.device):
            return method(self, x.to(self.dtype), **kwargs)

    def _prepared(
        self, x: Tensor, observe: Callable[[Tensor], None] | None = None
    ) -> tuple[Recurrence, Callable[[Tensor], Tensor]]:
        """What is iterated for ``x`` [*, I], and the map from its last states to outputs."""
        graph, wiring = self.graph, self._wiring()
        self._check_whole()
        check_tensor("x", x, graph.num_inputs, "inputs", self._stored)
        shape = x.shape[:-1]
        # Other products would fix the batch of an exported or of a traced program.
        batch = reduce(mul, shape, 1)
        operators = self._operators(self.backend, batch)
        mask = self.dynamics.draw_mask(batch, self._stored)
        update = self.dynamics.update(operators.recurrence, mask)
        injection, recurrent, readout, direct = self._scaled_weight(update)[1]
        clamped = x.reshape(batch, graph.num_inputs).T.contiguous()
        bias, output_bias = wiring.split_bias(self.bias.unsqueeze(-1))

        def read(states: Tensor) -> Tensor:
            outputs = bind(operators.readout, readout)(states)
            if wiring.edge_sets["direct"].num_edges:
                outputs = outputs + bind(operators.direct, direct)(clamped)
            # The sum comes last: fully_shard, for one, wants outputs that are no views.
            return outputs.T.reshape(*shape, graph.num_outputs) + output_bias.squeeze(-1)

        # Inputs never change: what they inject is computed once.
        injected = bind(operators.injection, injection)(clamped) + bias
        return Recurrence(update, recurrent, injected, observe), read

    def _outputs(self, x: Tensor) -> Tensor:
        recurrence, read = self._prepared(x)
        return read(self.solver.solve(recurrence).states)

    def _check_whole(self) -> None:
        """Raise a ``RuntimeError`` if a forward pass would see a part of the weights.

        Gathered, they would have the gradient of the batch of one rank.
        """
        if is_sharded(self._stored):
            raise RuntimeError(
                "Expected whole weights in a forward pass (got DTensors). If fully_shard made them,"
                " call the layer itself, or first make the method that is called a forward pass:"
                " torch.distributed.fsdp.register_fsdp_forward_method(layer, 'states')."
            )

    def _all_states(self, x: Tensor, states: Tensor, outputs: Tensor) -> Tensor:
        """Inputs, hidden states and outputs, ``[*, N]``, from iterated ``states`` [n, B]."""
        num_hidden = self.graph.num_hidden
        hidden = states[:num_hidden].T.reshape(*x.shape[:-1], num_hidden)
        return torch.cat([x, hidden, outputs], dim=-1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SynchronousGraph:
        super()._apply(fn, recurse)
        self._operators(self.backend, _USUAL_BATCH)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        state_dict = state_to_load(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)
        # With assign=True the parameters may be on another device now.
        self._operators(self.backend, _USUAL_BATCH)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._operators(self.backend, _USUAL_BATCH)  # What a graph keeps is not in a pickle.

    def _update(self) -> Update:
        """The synchronous update, for the usual batch."""
        return self.dynamics.update(self._operators(self.backend, _USUAL_BATCH).recurrence)

    def _operators(self, backend: str, batch: int) -> Operators:
        """The operators for a batch of about this size.

        Those for the usual batch are built when a layer is made, moved or given another backend, so
        that a compiler that traces a forward pass finds them ready.
        """
        if is_compiling():
            batch = _USUAL_BATCH
        dtype = self.dtype
        if is_recording():
            with unrecorded():
                return self._wiring().operators(backend, dtype, _USUAL_BATCH, composed=True)
        return self._wiring().operators(backend, dtype, batch, composed=is_transforming())

    def _wiring(self) -> Wiring:
        device = self.device
        return self.graph.cached(("wiring", device), lambda: Wiring(self.graph, device))

    def _edge_index(self, device: torch.device) -> Tensor:
        return self.graph.cached(("edge_index", device), lambda: self.graph.edge_index.to(device))

    # Files ###################################################################################

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``model.safetensors`` into ``folder``.

        Args:
            folder (path): Made if it does not exist. Each file is replaced as a whole.

        Raises:
            ImportError: If safetensors has to be installed first.
            TypeError: If the solver is none of this package.
            ValueError: If ``folder`` is a file.
        """
        save_layer(self, folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], *, device: torch.device | str = "cpu"
    ) -> SynchronousGraph:
        """The layer that :meth:`save` wrote into ``folder``.

        Args:
            folder (path): The folder.
            device (torch.device, optional): Where it is to be. (default: ``"cpu"``)

        Raises:
            ValueError: If the folder is missing, truncated or of another format version, or the
                device is not available.
        """
        check_device(str(device), computes=False)
        loaded: SynchronousGraph = load_layer(cls, folder).to(device)
        return loaded

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.graph!r}, {self.solver!r}, {self.dynamics.extra_repr()},"
            f" backend={self.backend!r})"
        )


def spare_generator(device: torch.device) -> torch.Generator:
    """What a layer on ``device`` draws weights from that are overwritten.

    Torch's global generator is left alone: others draw from it, in other threads too.
    """
    return torch.Generator("cpu" if device.type == "meta" else device)


def check_layer(layer: object) -> None:
    """Raise unless ``layer`` is a ``SynchronousGraph``."""
    if not isinstance(layer, SynchronousGraph):
        raise TypeError(
            f"Expected a SynchronousGraph (got {type(layer).__name__}). Pass the layer itself, not"
            f" the model around it."
        )
