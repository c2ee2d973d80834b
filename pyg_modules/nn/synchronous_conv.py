from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch_geometric.nn import MessagePassing

from pyg_modules._brief import brief
from pyg_modules._checks import check_bool
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.backed_layer import BackedLayer
from pyg_modules.nn.check_tensor import check_tensor
from pyg_modules.nn.data_edges import NORMALIZATIONS, DataEdges
from pyg_modules.nn.gcn_reader import read_convolutions
from pyg_modules.nn.looking_edges import looking_edges
from pyg_modules.nn.messages import check_messages
from pyg_modules.nn.shortage import or_shortage
from pyg_modules.nn.unit_layer import Prepared, check_observe, spare_generator
from pyg_modules.nn.wiring import Operators
from pyg_modules.ops.neighbour_operator import NeighbourOperator
from pyg_modules.ops.neighbours import Neighbours
from pyg_modules.ops.tracing import as_leaf, is_recording, is_tracing, recorded
from pyg_modules.ops.update import Update
from pyg_modules.solve.equilibrium import Equilibrium
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled

# With carry=True: what a unit keeps of what its neighbours have, and by what the weights of all
# other edges among hidden units are multiplied.
_CARRIED, _BESIDE = 0.9, 0.1
# Settings that are not worth a word in the repr.
_DEFAULTS = {
    "normalize": True,
    "add_self_loops": True,
    "normalize_states": False,
    "carry": False,
    "bias": True,
}


class SynchronousConv(BackedLayer, MessagePassing):
    r"""A convolution in which every node of the data carries all units of one unit graph.

    Units talk within a node along the unit graph, and across nodes along the edges of the data, all
    at the same time:

    .. math::
        h_{v,i} \leftarrow f \Big( \sum_{j \to i} w_{ij} h_{v,j} + \sum_{j \Rightarrow i} u_{ij}
        \sum_{u \in \mathcal{N}(v)} a_{vu} h_{u,j} + b_i \Big), \qquad h_{v,i} = 0 \text{ at first},

    with :math:`f` the activation (outputs: identity), the inputs clamped, :math:`h_{v,I} = x_v`,
    and :math:`a` the normalized adjacency matrix. When the solver stops, the outputs are read once
    from the last states, of a node and of its neighbours. A layered unit graph with :math:`w = 0`
    is a stack of ``GCNConv``; a complete one with an equilibrium is an implicit graph network.

    Edges among units can be cut into modules as those of a :class:`SynchronousGraph`: the modules
    are then independent graph networks.

    From `Implicit Graph Neural Networks <https://arxiv.org/abs/2009.06211>`_, with a sparse graph
    of units in the place of its dense matrix.

    Args:
        graph (UnitGraph): The units and the edges between them.
        neighbours (Tensor, optional): Which edges look at neighbours: a mask ``[E]``, or a list of
            edges ``[2, e]`` of the graph. (default: all)
        solver (Solver, optional): When the updates stop. An :class:`Equilibrium` with
            ``contraction`` exists on every graph if edge weights are normalized. (default:
            ``Unrolled(steps=6)``)
        activation (str or sequence of str, optional): As for :class:`SynchronousGraph`. (default:
            ``"relu"``)
        normalize (bool or str, optional): Whether edge weights are divided by the square roots of
            the degrees of both nodes, as in ``GCNConv``; or ``"mean"``, by the degree of the
            target. (default: ``True``)
        add_self_loops (bool, optional): Whether nodes count as neighbours of themselves, as in
            ``GCNConv``; a self-loop that is there keeps its weight. Needs ``normalize``. (default:
            as ``normalize``)
        bias (bool, optional): Whether units have biases. (default: ``True``)
        normalize_states (bool, optional): Whether the hidden states of a node are divided by their
            largest magnitude before outputs are read, those of each module apart where the layer is
            cut. What comes from far away is small, and can be read then. (default: ``False``)
        carry (bool, optional): Whether hidden units begin by carrying on what their neighbours
            have, so that gradients come from far away: edges from a unit to itself that look at
            neighbours start with u = 0.9, and all other weights that these units have from hidden
            ones at a tenth of what they would. Units without such an edge begin as they would.
            (default: ``False``)
        dropout (float, optional): As for :class:`SynchronousGraph`; drawn for every node and unit.
            (default: 0)
        update_rate (float, optional): As for :class:`SynchronousGraph`. (default: 1)
        learn_update_rate (bool, optional): As for :class:`SynchronousGraph`. (default: ``False``)
        backend (str, optional): How sums over edges of units are computed, as for
            :class:`SynchronousGraph`. (default: ``"auto"``)
        device (torch.device, optional): Device of the parameters.
        dtype (torch.dtype, optional): Floating type of the parameters.
        generator (torch.Generator, optional): Source of the random initial weights, on ``device``;
            the global one of torch by default.

    Shapes:
        - **input:** nodes :math:`(V, I)`, or :math:`(*, V, I)` for several samples on one graph,
          edges :math:`(2, m)` or a transposed adjacency matrix :math:`(V, V)`, edge weights
          :math:`(m)` *(optional)*
        - **output:** :math:`(V, O)` or :math:`(*, V, O)`; dtypes as of :class:`SynchronousGraph`

    Attributes:
        weight: Weights of every edge, in the order of ``graph.edge_index``, ``[E, 2]``: w, u.
        bias: Biases of the hidden and the output units, ``[N - I]``; or ``None``.
        neighbours: Edges that look at neighbours, ``[E]``; ``None`` for all. The u of others counts
            as 0.
        dynamics: What hidden units make of their sums, with the learned slopes and rates.
        labels: See :class:`SynchronousGraph`, as for ``edge_mask`` and ``origin``.

    Graphs of a mini-batch are one graph, of which an equilibrium is found as a whole. It is reached
    where every node agrees: ``tol`` is relative to the largest state of a node and of those that it
    hears from, so that what comes from far away counts however small it is.

    Example:
        >>> import torch
        >>> from pyg_modules import Equilibrium, SynchronousConv, UnitGraph
        >>> graph, solver = UnitGraph.complete(8, 16, 4), Equilibrium(contraction=0.95)
        >>> conv = SynchronousConv(graph, solver=solver, activation="tanh")
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(torch.rand(3, 8), edge_index).shape
        torch.Size([3, 4])
    """

    kind = "SynchronousConv"
    _sums_alone = True
    edge_masks = ("edge_mask", "neighbours")
    positions = ("V",)

    neighbours: Tensor | None
    propagate: Callable[..., Tensor]

    def __init__(
        self,
        graph: UnitGraph,
        neighbours: Tensor | None = None,
        solver: Solver | None = None,
        activation: str | Sequence[str] = "relu",
        *,
        normalize: bool | str = True,
        add_self_loops: bool | None = None,
        bias: bool = True,
        normalize_states: bool = False,
        carry: bool = False,
        dropout: float = 0.0,
        update_rate: float = 1.0,
        learn_update_rate: bool = False,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if isinstance(neighbours, Solver):
            raise TypeError(
                f"Expected neighbours to be a mask or edges (got {neighbours!r})."
                f" Use solver={neighbours!r}."
            )
        if add_self_loops is None:
            add_self_loops = normalize is not False
        _check_normalization(normalize, add_self_loops)
        flags = {"normalize_states": normalize_states, "carry": carry}
        for name, flag in flags.items():
            check_bool(name, flag)
        self.settings: dict[str, Any] = {
            "normalize": normalize,
            "add_self_loops": add_self_loops,
            **flags,
        }
        super().__init__(
            graph,
            solver,
            activation,
            row_shape=(2,),
            bias=bias,
            dropout=dropout,
            update_rate=update_rate,
            learn_update_rate=learn_update_rate,
            backend=backend,
            device=device,
            dtype=dtype,
            generator=generator,
            aggr="add",
        )
        mask = None if neighbours is None else self.placed(looking_edges(graph, neighbours))
        self.register_buffer("neighbours", mask)
        # Averages of models pair buffers by their places: one that may come later is the last.
        del self.edge_mask
        self.register_buffer("edge_mask", None)
        self._begin_to_carry()
        # Those of the latest forward pass.
        self._latest: Neighbours | None = None

    @classmethod
    def from_conv(
        cls,
        convs: nn.Module | Iterable[nn.Module],
        *,
        dropout: float = 0.0,
        backend: str = "auto",
    ) -> SynchronousConv:
        """The function that a stack of ``GCNConv`` computes in evaluation, to rounding.

        Every channel between two of them is a hidden unit, with all w = 0; as many updates as there
        are levels bring the inputs to the outputs. ``Dropout`` is left out. Where a node has
        several self-loops, ``GCNConv`` keeps one if it adds self-loops; here they add up.

        Args:
            convs (torch.nn.Module or iterable): ``GCNConv`` and activations, in an iterable, in
                ``Sequential`` of torch or of PyG, or a :class:`torch_geometric.nn.GCN`. Their
                parameters are copied.
            dropout (float, optional): Of all hidden units, as for the class. (default: 0)
            backend (str, optional): As for the class. (default: ``"auto"``)

        Raises:
            TypeError: If it is none of these.
            ValueError: If it contains anything else, or is no stack; the message says what.
        """
        parts = read_convolutions(convs)
        layer = cls(
            parts.graph,
            solver=Unrolled(steps=max(1, parts.num_levels)),
            activation=parts.activation,
            normalize=parts.normalize,
            add_self_loops=parts.add_self_loops,
            bias=parts.bias is not None,
            dropout=dropout,
            backend=backend,
            device=parts.weight.device,
            dtype=parts.weight.dtype,
            generator=spare_generator(parts.weight.device),
        )
        with torch.no_grad():
            layer.weight[:, 0] = 0
            layer.weight[:, 1] = parts.weight
            if layer.bias is not None and parts.bias is not None:
                layer.bias.copy_(parts.bias)
        return layer

    @property
    def normalize(self) -> bool | str:
        """How edge weights are made to fit each other; it may be changed."""
        normalize: bool | str = self.settings["normalize"]
        return normalize

    @normalize.setter
    def normalize(self, normalize: bool | str) -> None:
        _check_normalization(normalize, self.add_self_loops)
        self.settings["normalize"] = normalize

    @property
    def add_self_loops(self) -> bool:
        """Whether nodes count as neighbours of themselves; it may be changed."""
        return bool(self.settings["add_self_loops"])

    @add_self_loops.setter
    def add_self_loops(self, add_self_loops: bool) -> None:
        _check_normalization(self.normalize, add_self_loops)
        self.settings["add_self_loops"] = add_self_loops

    @property
    def divides_modules_apart(self) -> bool:
        """See :attr:`UnitLayer.divides_modules_apart`."""
        return bool(self.settings["normalize_states"])

    def config(self) -> dict[str, Any]:
        """See :meth:`UnitLayer.config`."""
        return {**super().config(), **self.settings, "bias": self.bias is not None}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the parameters as :class:`UnitLayer` does; with ``carry``, change them then.

        Args:
            generator (torch.Generator, optional): Source of randomness; the global one of torch by
                default.
        """
        super().reset_parameters(generator)
        if "neighbours" in self._buffers:  # Else the layer is being made, and does so itself.
            self._begin_to_carry()

    def _begin_to_carry(self) -> None:
        if not self.settings["carry"] or self.device.type == "meta":
            return
        source, target = self.graph.edge_index.to(self.device)
        hidden = self.graph.hidden
        inside = (source >= hidden.start) & (target < hidden.stop)
        carries = inside & (source == target)
        if self.neighbours is not None:
            carries &= self.neighbours
        with torch.no_grad():
            self.weight[inside & torch.isin(target, target[carries])] *= _BESIDE
            self.weight[carries, 1] = _CARRIED

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}  # It is built again.

    # Computing ###############################################################################

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """The outputs of all nodes, ``[V, O]``.

        Args:
            x (Tensor): Inputs of all nodes, ``[V, I]``, or ``[*, V, I]``.
            edge_index (Tensor): Edges of the data, ``[2, m]``, from sources to targets; an
                ``EdgeIndex``; or a transposed adjacency matrix, a ``SparseTensor`` or a sparse
                tensor of torch, ``[V, V]``. Edges that join the same nodes add up.
            edge_weight (Tensor, optional): Their weights, ``[m]``. (default: 1)

        Raises:
            TypeError: If an argument is of another type, or ``x`` a pair.
            ValueError: If they do not fit together, a weight is negative that is to be normalized,
                or an ``Equilibrium`` with ``contraction`` is to be found on a graph that would undo
                it.
            torch.OutOfMemoryError: If the states do not fit; it says how much they need.
        """
        if isinstance(x, Proxy):
            return as_leaf(self, x, (edge_index, edge_weight))
        if is_recording():
            with recorded():
                return self._compute(SynchronousConv._outputs, x, edge_index, edge_weight)
        return or_shortage(
            lambda: self._compute(SynchronousConv._outputs, x, edge_index, edge_weight),
            lambda: self._needed_memory(x),
        )

    def states(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """The states of all units of all nodes when the solver has stopped.

        Args:
            x (Tensor): As for :meth:`forward`, as those that follow.
            edge_index (Tensor): The edges of the data.
            edge_weight (Tensor, optional): Their weights.

        Returns:
            Tensor: ``[V, N]`` or ``[*, V, N]``: the inputs, the hidden states, the outputs as
            :meth:`forward` returns them.
        """
        return self._compute(SynchronousConv._states, x, edge_index, edge_weight)

    def solve(
        self,
        x: Tensor,
        edge_index: Any,
        edge_weight: Tensor | None = None,
        *,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Solution:
        """The states that :meth:`states` returns, and how well the units agree.

        Args:
            x (Tensor): As for :meth:`forward`, as those that follow.
            edge_index (Tensor): The edges of the data.
            edge_weight (Tensor, optional): Their weights.
            observe (Callable, optional): See :meth:`SynchronousGraph.solve`. (default: none)

        Returns:
            Solution: As of :meth:`SynchronousGraph.solve`; all nodes of a graph are one sample.
        """
        check_observe(observe)
        return self._compute(SynchronousConv._solution, x, observe, edge_index, edge_weight)

    def step(self, states: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """One synchronous update of all units, as plain PyG message passing over the data.

        It is the definition that :meth:`forward` computes faster, for looking inside: hooks on
        messages work here, and are refused there. It has no dropout, and reads outputs from states
        as they are.

        Args:
            states (Tensor): States of all units, ``[V, N]`` or ``[*, V, N]``; inputs are kept.
            edge_index (Tensor): As for :meth:`forward`.
            edge_weight (Tensor, optional): As for :meth:`forward`.

        Returns:
            Tensor: The next states, of the same shape.
        """
        if self._has_autocast(states):
            return self._without_autocast(SynchronousConv.step, states, edge_index, edge_weight)
        self._check_whole()
        self._check_nodes("states", states, self.graph.num_units, "units", self._stored)
        data = self._data(edge_index, edge_weight, states.size(-2))
        source, target = self.graph.edge_index.to(states.device)
        carried = states.index_select(-1, source)
        own, looked = (
            torch.zeros_like(states).index_add(-1, target, carried * column)
            for column in self.scaled_weight().unbind(1)
        )
        weight = data.weight.to(states.dtype)
        gathered = self.propagate(data.edge_index, x=looked, edge_weight=weight)
        num_inputs = self.graph.num_inputs
        sums = (own + gathered)[..., num_inputs:]
        if self.bias is not None:
            sums = sums + self.bias
        update = self.dynamics.update(self._operators(self.backend, sums.size(-2)).recurrence)
        columns = (values.flatten(0, -2).T for values in (sums, states[..., num_inputs:]))
        following = update.next(*columns).T.reshape(sums.shape)
        return torch.cat([states[..., :num_inputs], following], dim=-1)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """What every edge of the data carries, ``[*, m, N]``."""
        return edge_weight.unsqueeze(-1) * x_j

    def explain_message(self, inputs: Tensor, dim_size: int) -> Tensor:  # noqa: ARG002
        """What explainers make of messages; self-loops that a layer adds are not masked."""
        mask = self._edge_mask
        if not isinstance(mask, Tensor):
            raise ValueError(
                f"Expected an edge mask to explain with (got {mask!r}). Explainers of PyG set it,"
                f" such as GNNExplainer; else use explain=False."
            )
        if self._apply_sigmoid:
            mask = mask.sigmoid()
        num_added = inputs.size(-2) - mask.numel()
        return inputs * torch.cat([mask, mask.new_ones(num_added)]).unsqueeze(-1)

    def _check_masks_edges(self) -> None:
        """Raise if an explainer has put its own ``explain_message`` in the place of that here."""
        if "explain_message" in vars(self):
            raise ValueError(
                "Expected an explainer that masks edges (got one that replaces messages, as"
                " GraphMaskExplainer does, of which this layer has none). Use GNNExplainer, on a"
                " model that no other has changed."
            )

    def _rows(self) -> Tensor:
        rows = super()._rows()
        if self.neighbours is None:
            return rows
        own, looking = rows.unbind(1)
        looks = self.neighbours.to(rows.device)
        return torch.stack([own, torch.where(looks, looking, 0.0)], dim=1)

    def _update(self) -> Update:
        # The norm is a matter of the units alone.
        update, none = super()._update(), torch.empty(0, dtype=torch.long, device=self.device)
        operator = NeighbourOperator.over(update.operator, Neighbours(none, none, 1))
        return update._replace(operator=operator)

    def _prepared(
        self,
        x: Tensor,
        like: Tensor,
        *data: Any,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Prepared:
        self._check_whole()
        check_messages(self, SynchronousConv)
        self._check_nodes("x", x, self.graph.num_inputs, "inputs", like)
        num_nodes, batch = x.size(-2), reduce(mul, x.shape[:-2], 1)
        edge_index, edge_weight = data
        graph = self._data(edge_index, edge_weight, num_nodes)
        weight = graph.weight
        if self.explain:  # As propagate does it, message by message.
            self._check_masks_edges()
            weight = self.explain_message(weight.unsqueeze(-1), num_nodes).squeeze(-1)
        edges = graph.edge_index[0], graph.edge_index[1], num_nodes
        if is_tracing() or graph.edge_index.is_meta:
            neighbours = Neighbours(*edges)
        else:
            neighbours = self._latest = Neighbours.again(self._latest, *edges)
        trains_data = torch.is_grad_enabled() and weight.requires_grad
        # A node hears nothing along edges of weight 0, which matters for residuals alone.
        heard = neighbours.source
        if isinstance(self.solver, Equilibrium):
            heard = torch.where(weight.detach() != 0, heard, neighbours.target)
        operators = Operators(
            *(
                NeighbourOperator.over(units, neighbours, trains_data=trains_data, heard=heard)
                for units in self._operators(self.backend, num_nodes * batch, like.dtype)
            )
        )
        mask = self.dynamics.draw_mask(num_nodes * batch, like)
        if mask is not None:
            mask = mask.view(self.graph.num_hidden * num_nodes, batch)
        update = self.dynamics.update(operators.recurrence, mask, num_positions=num_nodes)
        weight, parts = weight.to(like.dtype), self._scaled_weight(update, like.dtype)[1]
        weights = [torch.cat([rows.T.reshape(-1), weight]) for rows in parts]
        num_inputs = self.graph.num_inputs
        clamped = x.reshape(batch, num_nodes, num_inputs).permute(2, 1, 0)
        clamped = clamped.reshape(num_inputs * num_nodes, batch)
        return self._prepare(
            clamped, update, operators, weights, num_positions=num_nodes, observe=observe
        )

    def _data(self, edge_index: Any, edge_weight: Tensor | None, num_nodes: int) -> DataEdges:
        """The edges of the data with normalized weights, those of explainers included."""
        normalize = self.normalize
        data = DataEdges.read(edge_index, edge_weight, num_nodes, self._stored)
        data = data.normalized(num_nodes, normalize, self.add_self_loops)
        contraction = self.solver.contraction if isinstance(self.solver, Equilibrium) else None
        if normalize is False and contraction is not None and not data.weight.is_meta:
            rounded = data._replace(weight=data.weight.to(self.dtype))
            rounded.check_contraction(num_nodes, contraction)
        return data

    def _check_nodes(self, name: str, value: Tensor, width: int, units: str, like: Tensor) -> None:
        """Raise unless ``value`` has a row of numbers for every node."""
        if isinstance(value, tuple | list):
            raise TypeError(
                f"Expected {name} of one set of nodes (got a {type(value).__name__} of"
                f" {len(value)}): a state goes on from node to node, so that sources and targets"
                f" are the same nodes. Join both sets into one graph."
            )
        check_tensor(name, value, width, units, like)
        if value.dim() < 2:
            raise ValueError(
                f"Expected {name} of shape [V, {width}] or [*, V, {width}] (got"
                f" {list(value.shape)}). Use {name}.unsqueeze(0) for a single node."
            )

    def _read(self, prepared: Prepared, states: Tensor, x: Tensor) -> Tensor:
        if self.settings["normalize_states"]:
            states = self._normalized(states, x.size(-2))
        outputs = _on_nodes(prepared.read(states), x.shape, self.graph.num_outputs)
        if prepared.output_bias is None:
            return outputs.clone(memory_format=torch.contiguous_format)
        return outputs.contiguous() + prepared.output_bias

    def _normalized(self, states: Tensor, num_nodes: int) -> Tensor:
        """Hidden states divided by the largest magnitude of those of a module on the same node."""
        graph, batch = self.graph, states.size(1)
        hidden = states[: graph.num_hidden * num_nodes].view(graph.num_hidden, num_nodes, batch)
        if graph.num_hidden == 0:
            return states
        magnitude = hidden.abs()
        if self.labels is None:
            largest = magnitude.amax(dim=0, keepdim=True)
        else:
            labels = self.labels[graph.hidden.start : graph.hidden.stop].to(states.device)
            place = labels.view(-1, 1, 1).expand_as(magnitude)
            of_modules = torch.zeros_like(magnitude).scatter_reduce(0, place, magnitude, "amax")
            largest = of_modules.index_select(0, labels)
        divided = hidden / largest.where(largest > 0, 1.0)
        return torch.cat([divided.flatten(0, 1), states[graph.num_hidden * num_nodes :]])

    def _all_states(self, x: Tensor, states: Tensor, outputs: Tensor) -> Tensor:
        num_hidden = self.graph.num_hidden
        hidden = _on_nodes(states[: num_hidden * x.size(-2)], x.shape, num_hidden)
        return torch.cat([x, hidden, outputs], dim=-1)

    def _needed_memory(self, x: Tensor) -> str:
        num_units, num_nodes = self._wiring().num_iterated, x.shape[:-1].numel()
        gib = num_units * num_nodes * x.element_size() / 2**30
        kept = self.solver.num_updates
        per_step = f", of which {self.solver!r} keeps {kept} for the gradients" if kept else ""
        return (
            f"Expected memory for the states of {num_units} units on {num_nodes} nodes (got too"
            f" little): they are {gib:.3g} GiB at a time{per_step}. Use Unrolled(checkpoint=True)"
            f" or an Equilibrium, which keep less, or parts of the graph, as NeighborLoader makes"
            f" them."
        )

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        settings = [
            f"{name}={value!r}"
            for name, value in (*self.settings.items(), ("bias", self.bias is not None))
            if value is not _DEFAULTS[name]
        ]
        return ", ".join([super().extra_repr(), *settings])


def _check_normalization(normalize: bool | str, add_self_loops: bool) -> None:
    """Raise unless both are known, and fit each other."""
    # Neither 0 nor NumPy's False is the False that is asked for below.
    if not any(type(normalize) is type(known) and normalize == known for known in NORMALIZATIONS):
        raise ValueError(
            f"Expected normalize to be True, False or 'mean' (got {brief(normalize)})."
            " Choose one of these."
        )
    check_bool("add_self_loops", add_self_loops)
    if add_self_loops and normalize is False:
        raise ValueError(
            "Expected no add_self_loops=True with normalize=False (got both): weights are used"
            " as given. Add them to the data, with torch_geometric.utils.add_self_loops."
        )


def _on_nodes(rows: Tensor, shape: torch.Size, num_units: int) -> Tensor:
    """``rows`` [num_units * V, B] as numbers of nodes, ``[*, V, num_units]``."""
    of_units = rows.view(num_units, shape[-2], rows.size(1))
    return of_units.permute(2, 1, 0).reshape(*shape[:-1], num_units)
