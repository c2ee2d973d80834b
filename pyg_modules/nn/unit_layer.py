from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from pyg_modules._brief import brief
from pyg_modules._checks import check_bool, check_device, check_dtype, check_generator
from pyg_modules._refusals import refuse_replicas, refuse_script
from pyg_modules._registry import register
from pyg_modules.graph.reach import leave_far_units_unsaid, warn_of_far_units
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.edge_fingerprint import edge_fingerprint
from pyg_modules.nn.origin import Origin
from pyg_modules.nn.state_to_load import state_to_load
from pyg_modules.nn.storage import load_layer, save_layer
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.nn.wiring import Operators, Wiring
from pyg_modules.ops.autocast import half_precision, has_autocast, without_autocast
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.sharding import is_sharded, overwrite, whole
from pyg_modules.ops.tracing import is_compiling
from pyg_modules.ops.update import Update
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
Layer = TypeVar("Layer", bound="UnitLayer")

# What every layer is made with beside its settings.
_PLACED = ("graph", "solver", "device", "dtype", "generator")


class Prepared(NamedTuple):
    """What a forward pass computes with.

    Attributes:
        recurrence: What is iterated.
        read: The map from its last states to the weighted sums of the outputs, ``[O * P, B]``.
        output_bias: What is to be added to these, ``[O]``; ``None`` for nothing.
    """

    recurrence: Recurrence
    read: Callable[[Tensor], Tensor]
    output_bias: Tensor | None


class UnitLayer(nn.Module):
    r"""What all layers have in common: the units of one unit graph, and what is learned of them.

    A subclass says what an edge carries, and computes. Every edge has a row of weights, of as many
    numbers as the subclass likes; so whatever changes the edges of a layer treats all alike.

    Args:
        graph (UnitGraph): The units and the edges between them.
        solver (Solver, optional): When the updates stop. (default: ``Unrolled(steps=6)``)
        activation (str or sequence of str): See :class:`SynchronousGraph`, as those that follow.
        row_shape (sequence of int, optional): Shape of the weights of an edge. (default: one
            number)
        bias (bool, optional): Whether units have biases. (default: ``True``)
        dropout (float, optional): Probability that a hidden unit is 0 in training. (default: 0)
        update_rate (float, optional): The part of the way to the new state. (default: 1)
        learn_update_rate (bool, optional): Whether every unit learns its own. (default: ``False``)
        device (torch.device, optional): Device of the parameters.
        dtype (torch.dtype, optional): Floating type of the parameters.
        generator (torch.Generator, optional): Source of the random initial weights, on ``device``;
            the global one of torch by default.
        **kwargs: What the next class in line is made with.

    Attributes:
        weight: Weights of every edge, in the order of ``graph.edge_index``, ``[E, *row_shape]``.
        bias: Biases of the hidden and the output units, ``[N - I]``; or ``None``.
        dynamics: What hidden units make of their sums, with the learned slopes and rates.
        labels: Module of every unit if the layer was made by :func:`pyg_modules.cut`, ``[N]``, −1
            for units that all modules share; else ``None``.
        edge_mask: Edges that are left after :func:`pyg_modules.prune_cross_edges`, ``[E]``; else
            ``None``.
        origin: Where the units of a part come from if :func:`pyg_modules.split` made it; else
            ``None``.
    """

    #: Names of the buffers ``[E]`` that mark edges; where one is ``None``, all are marked.
    edge_masks: ClassVar[tuple[str, ...]] = ("edge_mask",)
    #: Which dimension of the states is that of the units.
    unit_dim: ClassVar[int] = -1
    #: The dimensions of a sample beside that of the units, for messages.
    positions: ClassVar[tuple[str, ...]] = ()
    #: What files call a layer of this class.
    kind: ClassVar[str]
    #: The classes with such a name.
    kinds: ClassVar[dict[str, type[UnitLayer]]] = {}

    edge_mask: Tensor | None
    bias: nn.Parameter | None

    #: The states of all units when the solver has stopped, with what else is known of them; and one
    #: update of them, as it is defined.
    states: Callable[..., Tensor]
    solve: Callable[..., Solution]
    step: Callable[..., Tensor]

    def __init__(
        self,
        graph: UnitGraph,
        solver: Solver | None,
        activation: str | Sequence[str],
        *,
        row_shape: Sequence[int] = (),
        bias: bool = True,
        dropout: float = 0.0,
        update_rate: float = 1.0,
        learn_update_rate: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(graph, UnitGraph):
            raise TypeError(
                f"Expected graph to be a UnitGraph (got {type(graph).__name__}). Build one, e.g."
                f" UnitGraph.complete(num_inputs, num_hidden, num_outputs)."
            )
        check_bool("bias", bias)
        check_dtype(dtype)
        if device is not None:
            check_device(device, computes=False)
        self.graph = graph
        self.solver = Unrolled() if solver is None else solver
        warn_of_far_units(graph, self.solver.num_updates, stacklevel=4)
        self.row_shape = tuple(row_shape)
        weight = torch.empty(graph.num_edges, *self.row_shape, device=device, dtype=dtype)
        self.weight = nn.Parameter(weight)
        num_biases = graph.num_units - graph.num_inputs
        biases = torch.empty(num_biases, device=device, dtype=dtype) if bias else None
        self.register_parameter("bias", None if biases is None else nn.Parameter(biases))
        self.dynamics = UnitDynamics(
            graph.num_hidden, activation, dropout, update_rate, learn_update_rate, device, dtype
        )
        # No buffer: averages of buffers would make other modules of them.
        self.labels: Tensor | None = None
        self.register_buffer("edge_mask", None)
        self.origin: Origin | None = None
        self.reset_parameters(generator)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:  # Else it would take the place of another.
            register(UnitLayer.kinds, cls.kind, cls)

    def config(self) -> dict[str, Any]:
        """The settings it is made with, beside graph, solver and place, in terms of JSON.

        A subclass with arguments of its own adds them: layers like this one, as :func:`cut` and
        :meth:`load` make them, are made with these settings.
        """
        return self.dynamics.config()

    def checked_config(self) -> dict[str, Any]:
        """:meth:`config`, if a layer like this one can be made with it.

        Raises:
            TypeError: If the class takes other arguments.
        """
        config, kind = self.config(), type(self).__name__
        takes = signature(type(self))
        missing = [
            name
            for name, one in takes.parameters.items()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            and name not in {*_PLACED, *self.edge_masks, *config}
        ]
        if missing:
            raise TypeError(
                f"Expected all that a {kind} is made with in its config() (got none of"
                f" {', '.join(map(repr, missing))}), so that a layer like it can be made. Define"
                f" config in {kind}: return {{**super().config(), {missing[0]!r}: ...}}."
            )
        try:
            takes.bind(self.graph, **dict.fromkeys(_PLACED[1:]), **config)
        except TypeError as error:
            raise TypeError(
                f"Expected a {kind} that is made as {kind}(graph, solver=..., ...), so that a layer"
                f" like it can be made (got {kind}{takes}: {error}). Take **kwargs, and hand them"
                f" to super().__init__(graph, **kwargs)."
            ) from error
        return config

    def on_graph(
        self, graph: UnitGraph, solver: Solver, dynamics: UnitDynamics | None = None
    ) -> Self:
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
        leave_far_units_unsaid(graph, solver.num_updates)
        layer: Self = type_before_parametrizations(self)(
            graph,
            solver=solver,
            **{**self.checked_config(), **dynamics.config()},
            device=self.device,
            dtype=self.dtype,
            generator=spare_generator(self.device),
        )
        layer.dynamics = dynamics.to(self.device)
        layer.train(self.training)
        layer.weight.requires_grad_(self.weight.requires_grad)
        if layer.bias is not None and self.bias is not None:
            layer.bias.requires_grad_(self.bias.requires_grad)
        return layer

    @property
    def divides_modules_apart(self) -> bool:
        """Whether ``labels`` change what is computed: states are divided within modules."""
        return False

    @property
    def solver(self) -> Solver:
        """When the updates stop; it can be exchanged."""
        return self._solver

    @solver.setter
    def solver(self, solver: Solver) -> None:
        if not isinstance(solver, Solver):
            raise TypeError(
                f"Expected solver to be a Solver (got {brief(solver)}). Use e.g. Unrolled(steps=6)."
            )
        self._solver = solver

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
        own: Iterable[Tensor | None] = self._parameters.values()
        parametrized: Iterable[Tensor] = self.parameters()
        return next(one for one in chain(own, parametrized) if one is not None)

    def input_shape(self, leading: str) -> str:
        """The shape of inputs, for messages: ``leading`` dimensions, those of positions and I."""
        sizes = list(self.positions)
        sizes.insert(len(sizes) + 1 + self.unit_dim, str(self.graph.num_inputs))
        return f"[{', '.join([leading, *sizes])}]"

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases of unit i from U(-1/sqrt(d_i), 1/sqrt(d_i)).

        With :math:`d_i` the number of weights of the edges into it, as for
        :class:`torch.nn.Linear` and :class:`torch.nn.Conv2d`.

        Args:
            generator (torch.Generator, optional): Source of randomness; the global one of torch by
                default.
        """
        check_generator(generator)
        self.dynamics.reset_parameters()
        target = self.graph.edge_index[1]
        degree = torch.bincount(target, minlength=self.graph.num_units).clamp(min=1)
        bound = (degree * prod(self.row_shape)).to(self.device, self.dtype).rsqrt()
        of_edges = bound[target.to(bound.device)].view(-1, *(1 for _ in self.row_shape))
        of_units = bound[self.graph.num_inputs :]
        for parameter, bounds in ((self.weight, of_edges), (self.bias, of_units)):
            if parameter is None:
                continue
            is_whole = not is_sharded(parameter)
            drawn = parameter if is_whole else bounds.new_empty(parameter.shape)
            with torch.no_grad():
                drawn.uniform_(-1, 1, generator=generator).mul_(bounds)
            if not is_whole:
                overwrite(parameter, drawn)

    __prepare_scriptable__ = refuse_script
    _replicate_for_data_parallel = refuse_replicas

    # Weights #################################################################################

    def edge_weight(self) -> Tensor:
        """One number per edge, exactly 0 on edges that were pruned, ``[E]``, differentiable.

        It is the weight of the edge or, where an edge has several, their norm.

        Those that ``fully_shard`` spread over ranks are gathered: all ranks have to ask for them,
        and to compute the same with them where they are trained by it.
        """
        rows = self._rows()
        return torch.linalg.vector_norm(rows.flatten(1), dim=1) if self.row_shape else rows

    def scaled_weight(self) -> Tensor:
        """The weights as the solver uses them, ``[E, *row_shape]``, differentiable.

        They are 0 where edges were pruned, and an :class:`Equilibrium` with ``contraction`` scales
        them.
        """
        return self._scaled_weight(self._update(), self.dtype)[0]

    def weights_by_edge_set(self) -> tuple[Tensor, ...]:
        """:meth:`scaled_weight` in the four sets of edges that are computed apart.

        Returns:
            tuple: Weights of the edges from inputs to the units that are iterated (the hidden ones,
            and outputs that feed back), among these, from these to outputs, and from inputs to
            outputs; each by target, then source.
        """
        return self._scaled_weight(self._update(), self.dtype)[1]

    @property
    def kept_edges(self) -> Tensor | None:
        """Edges that are not pruned for good, a boolean mask ``[E]`` on the CPU; ``None``: all.

        Those that ``edge_mask`` leaves, and ``torch.nn.utils.prune``, of an edge at least a weight.
        """
        masks = [] if self.edge_mask is None else [self.edge_mask.cpu()]
        pruned = self._buffers.get("weight_mask")
        if pruned is not None and not pruned.is_meta:
            masks.append((pruned != 0).flatten(1).any(dim=1) if self.row_shape else pruned != 0)
        kept = torch.stack([mask.cpu() for mask in masks]).all(dim=0) if masks else None
        return None if kept is None or bool(kept.all()) else kept

    def _rows(self) -> Tensor:
        """The weights, 0 where pruned, ``[E, *row_shape]``."""
        with without_autocast(self.device):  # A parametrization may be a product of matrices.
            weight = whole(self.weight)
        mask = self.edge_mask
        if mask is None:
            return weight
        mask = mask.to(weight.device).view(-1, *(1 for _ in self.row_shape))
        return torch.where(mask, weight, 0.0)

    def _scaled_weight(
        self, update: Update, dtype: torch.dtype
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The weights as the solver uses them, as a whole and by edge set, in ``dtype``."""
        weight, wiring = self._rows(), self._wiring()
        parts = wiring.split(weight)
        scaled = self.solver.scaled(update, parts[1])
        if scaled is not parts[1]:
            weight = weight.index_copy(0, wiring.recurrent_edges, scaled)
        if scaled is not parts[1] or weight.dtype != dtype:
            weight = weight.to(dtype)
            # With feedback, edges into outputs are scaled in two sets.
            parts = wiring.split(weight)
        return weight, parts

    # Computing ###############################################################################

    def _update(self) -> Update:
        """The synchronous update by which weights are scaled, whatever the input is."""
        raise NotImplementedError

    def _build(self) -> None:
        """Build what a compiler that traces a forward pass has to find ready."""
        raise NotImplementedError

    def _prepare(
        self,
        clamped: Tensor,
        update: Update,
        operators: Operators,
        weights: Sequence[Tensor],
        *,
        num_positions: int = 1,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Prepared:
        """What a forward pass computes with, where every unit has P positions, in a row.

        Args:
            clamped (Tensor): The inputs, ``[I * P, B]``, in the dtype to compute in.
            update (Update): The update over the edges of ``operators.recurrence``.
            operators (Operators): Those of the four sets of edges.
            weights (sequence of Tensor): What each of them is bound to.
            num_positions (int, optional): P. (default: 1)
            observe (Callable, optional): See :class:`Recurrence`. (default: none)
        """
        wiring = self._wiring()
        injection, recurrent, readout, direct = weights
        # Inputs never change: what they inject is computed once.
        injected = bind(operators.injection, injection)(clamped)
        biases, output_bias = self.bias, None
        if biases is not None:
            bias, output_bias = wiring.split_bias(biases.to(clamped.dtype))
            column = bias.unsqueeze(-1)
            if num_positions != 1:
                column = column.expand(-1, num_positions).reshape(-1, 1)
            injected = injected + column

        def read(states: Tensor) -> Tensor:
            outputs = bind(operators.readout, readout)(states)
            if wiring.edge_sets["direct"].num_edges:
                outputs = outputs + bind(operators.direct, direct)(clamped)
            return outputs

        recurrence = Recurrence(update.to(clamped.dtype), recurrent, injected, observe)
        return Prepared(recurrence, read, output_bias)

    def _outputs(self, x: Tensor, like: Tensor, *data: Any) -> Tensor:
        """The outputs for ``x`` and what is taken beside it; see :meth:`_compute`."""
        prepared = self._prepared(x, like, *data)
        return self._read(prepared, self.solver.solve(prepared.recurrence).states, x)

    def _states(self, x: Tensor, like: Tensor, *data: Any) -> Tensor:
        """The same for the states of all units."""
        prepared = self._prepared(x, like, *data)
        states = self.solver.solve(prepared.recurrence).states
        return self._all_states(x, states, self._read(prepared, states, x))

    def _solution(
        self, x: Tensor, like: Tensor, observe: Callable[[Tensor], None] | None, *data: Any
    ) -> Solution:
        """The same for what the solver finds, with residuals, which an unrolled one leaves out."""
        prepared = self._prepared(x, like, *data, observe=observe)
        solution = self.solver.solve(prepared.recurrence)
        if solution.residual is None:
            with torch.no_grad():
                solution.residual = prepared.recurrence.residual(solution.states)
        outputs = self._read(prepared, solution.states, x)
        states = self._all_states(x, solution.states, outputs)
        return solution.reshaped(states, x.shape[: x.dim() - 1 - len(self.positions)])

    def _prepared(
        self,
        x: Tensor,
        like: Tensor,
        *data: Any,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Prepared:
        """What is computed with for ``x``; see :meth:`_compute`."""
        raise NotImplementedError

    def _read(self, prepared: Prepared, states: Tensor, x: Tensor) -> Tensor:
        """The outputs for ``x`` from the last iterated ``states``."""
        raise NotImplementedError

    def _all_states(self, x: Tensor, states: Tensor, outputs: Tensor) -> Tensor:
        """Inputs, hidden states, from the iterated ``states``, and outputs."""
        raise NotImplementedError

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

    def _compute(self, method: Callable[..., T], x: Tensor, *args: Any) -> T:
        """``method`` of ``x``, a tensor with the dtype to compute in and the device, and ``args``.

        Under autocast it is the dtype of :meth:`_precision`, to which ``x`` is cast. Kernels know
        no autocast: ``method`` casts what else they read.
        """
        stored = self._stored
        if not self._has_autocast(x):
            return method(self, x, stored, *args)
        precision = self._precision()
        like = stored if stored.dtype == precision else stored.new_empty(0, dtype=precision)
        with without_autocast(stored.device):
            return method(self, x.to(precision), like, *args)

    def _precision(self) -> torch.dtype:
        """The dtype of states under autocast.

        An equilibrium is found to a tolerance that half precision does not reach.
        """
        own, half = self.dtype, half_precision(self.device)
        if half is None or own == torch.float64 or self.solver.num_updates is None:
            return own
        return half

    def _has_autocast(self, x: Tensor) -> bool:
        """Whether autocast looks on, and ``x`` can be cast."""
        return has_autocast(self.device) and isinstance(x, Tensor) and x.is_floating_point()

    def _without_autocast(self, method: Callable[..., T], x: Tensor, *args: Any) -> T:
        """``method`` of ``x`` in the dtype of the layer.

        It is one of the class, as that of the instance may have been replaced by one that calls it.
        """
        with without_autocast(self.device):
            return method(self, x.to(self.dtype), *args)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def checked(stored: Tensor) -> Tensor:
            changed = fn(stored)
            if changed.is_complex():
                raise TypeError(
                    f"Expected a real floating type of a {type(self).__name__} (got"
                    f" {changed.dtype}). Give real and imaginary parts units of their own."
                )
            return changed

        masks = {name: getattr(self, name) for name in self.edge_masks}
        super()._apply(checked, recurse)  # type: ignore[no-untyped-call]
        self.place_labels(self.labels)
        for name, mask in masks.items():  # Module.type and to_empty would change their values.
            if mask is not None:
                mask = getattr(self, name) if mask.is_meta else mask
                setattr(self, name, self.placed(mask.bool()))
        self._build()
        return self

    def placed(self, value: Tensor) -> Tensor:
        """``value`` where the weights are; on meta, where it would be lost, it is left."""
        return value if self.device.type == "meta" else value.to(self.device)

    def place_labels(self, labels: Tensor | None) -> None:
        """Set the labels, :meth:`placed`."""
        self.labels = None if labels is None else self.placed(labels)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.labels is not None:
            # A copy: averages in place would make other modules of them.
            destination[f"{prefix}labels"] = self.labels.clone()

    def get_extra_state(self) -> Tensor:
        """What tells the edges that the weights in a ``state_dict`` belong to from others."""
        return edge_fingerprint(self.graph)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        state_dict = state_to_load(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)
        # With assign=True the parameters may be on another device now.
        self.place_labels(self.labels)
        self._build()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._build()  # What a graph keeps is not in a pickle.

    def _wiring(self) -> Wiring:
        device = self.device
        return self.graph.cached(("wiring", device), lambda: Wiring(self.graph, device))

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
    def load(cls, folder: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Self:
        """The layer that :meth:`save` wrote into ``folder``.

        Args:
            folder (path): The folder.
            device (torch.device, optional): Where it is to be. (default: ``"cpu"``)

        Raises:
            ValueError: If the folder is missing, truncated, of another format version or holds
                another kind of layer, or the device is not available.
        """
        check_device(str(device), computes=False)
        kinds: dict[str, Any] = {cls.kind: cls} if hasattr(cls, "kind") else dict(cls.kinds)
        loaded: Self = load_layer(kinds, folder)
        return loaded.to(device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.graph!r}, {self.solver!r}, {self.extra_repr()})"

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        return self.dynamics.extra_repr()


def spare_generator(device: torch.device) -> torch.Generator:
    """What a layer on ``device`` draws weights from that are overwritten.

    Torch's global generator is left alone: others draw from it, in other threads too.
    """
    return torch.Generator("cpu" if device.type == "meta" else device)


def check_observe(observe: Callable[[Tensor], None] | None) -> None:
    """Raise a ``RuntimeError`` if a compiler traces a solve that somebody observes."""
    if observe is not None and is_compiling():
        raise RuntimeError(
            "Expected no observe= under torch.compile or torch.export (got one): they do not"
            " call it. Solve outside of what is compiled."
        )


def check_layer(layer: object) -> None:
    """Raise unless ``layer`` is a layer of units."""
    if not isinstance(layer, UnitLayer):
        raise TypeError(
            f"Expected a SynchronousGraph (got {type(layer).__name__}). Pass the layer itself, not"
            f" the model around it; of parts, the layer that merge makes of them."
        )
