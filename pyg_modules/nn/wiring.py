from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.weight_split import WeightSplit
from pyg_modules.ops.determinism import is_deterministic
from pyg_modules.ops.dispatch import (
    Choice,
    check_available,
    choose,
    companion_of,
)
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import BACKENDS, EdgeOperator


class Operators(NamedTuple):
    """The operators of the four sets of edges that a forward pass treats differently."""

    injection: EdgeOperator
    recurrence: EdgeOperator
    readout: EdgeOperator
    direct: EdgeOperator


class Demand(NamedTuple):
    """What a forward pass asks of the operators; those for equal demands are the same.

    Attributes:
        backend: That of all sets of edges, or of the recurrence if that alone allows it.
        dtype: That of states and weights.
        batch: About how many samples, a power of two.
        composed: Whether operations of torch alone may be used.
        sums_alone: Whether something else computes activations.
        repeats: Whether results have to be the same every time, where that is a choice.
    """

    backend: str
    dtype: torch.dtype
    batch: int
    composed: bool
    sums_alone: bool
    repeats: bool


class Wiring:
    """The edges of a unit graph in four sets, and the operators over them, on one device.

    The iterated units are the hidden ones, and the outputs too where one of them has an outgoing
    edge; otherwise outputs are only read at the end. The sets are ``injection``, from inputs to
    iterated units, and ``direct``, from inputs to outputs, computed once per call; ``recurrence``,
    among iterated units, computed at every update; and ``readout``, from iterated units to outputs,
    computed once per call.

    Args:
        graph (UnitGraph): The units and edges.
        device (torch.device): Where the weights are.
    """

    def __init__(self, graph: UnitGraph, device: torch.device) -> None:
        edge_index, outputs = graph.edge_index, graph.outputs
        self.has_feedback = graph.has_feedback
        iterated = range(graph.num_inputs, graph.num_units if self.has_feedback else outputs.start)
        between = {
            "injection": (graph.inputs, iterated),
            "recurrence": (iterated, iterated),
            "readout": (iterated, outputs),
            "direct": (graph.inputs, outputs),
        }
        self.num_iterated = len(iterated)
        self.edge_sets = {
            name: EdgeSet.between(edge_index, *ends) for name, ends in between.items()
        }
        self._num_outputs = graph.num_outputs
        self._device = device
        self.recurrent_edges = self.edge_sets["recurrence"].edge_ids.to(device)
        #: Takes weights ``[E]`` apart into those of every set, in its order.
        self.split = WeightSplit(
            [edges.edge_ids for edges in self.edge_sets.values()], graph.num_edges, device
        )
        self._choices: dict[Demand, dict[str, Choice]] = {}
        self._operators: dict[tuple[str, str], EdgeOperator] = {}
        self._plans: dict[Demand, Operators] = {}

    def split_bias(self, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of ``bias`` [N - I, ...] of iterated units, and those of outputs."""
        if self.has_feedback:
            return bias, bias[-self._num_outputs :]  # Outputs are among the iterated units.
        iterated, outputs = torch.split(bias, [self.num_iterated, self._num_outputs])
        return iterated, outputs

    def demand(
        self,
        backend: str,
        dtype: torch.dtype,
        batch: int,
        *,
        composed: bool = False,
        sums_alone: bool = False,
    ) -> Demand:
        """What is asked for where about ``batch`` samples are computed."""
        # On the CPU the choice is the same.
        repeats = is_deterministic() and self._device.type != "cpu"
        size = 2 ** (batch - 1).bit_length()
        return Demand(backend, dtype, size, composed, sums_alone, repeats)

    def operators(self, demand: Demand) -> Operators:
        """The operators for a forward pass; they are built once."""
        if demand not in self._plans:
            choices = self.choices(demand)
            self._plans[demand] = Operators(
                *(self._operator(name, choices[name].backend) for name in self.edge_sets)
            )
        return self._plans[demand]

    def choices(self, demand: Demand) -> dict[str, Choice]:
        """The backend of every set of edges.

        Raises:
            ImportError: If a package has to be installed first.
            ValueError: If the backend cannot compute for this graph, device or dtype.
        """
        if demand not in self._choices:
            # Where backends are timed, they compute gradients.
            with torch.inference_mode(False):
                recurrence = self._choose("recurrence", demand)
                self._choices[demand] = {
                    name: recurrence
                    if name == "recurrence"
                    else self._choose(name, demand, beside=recurrence.backend)
                    for name in self.edge_sets
                }
        return self._choices[demand]

    def _choose(self, name: str, demand: Demand, beside: str | None = None) -> Choice:
        backend, is_recurrence = demand.backend, name == "recurrence"
        permutes = backend != "auto" and BACKENDS[backend].permutes_units
        if backend == "auto" or (permutes and not is_recurrence):
            return choose(
                self.edge_sets[name],
                demand.batch,
                self._device,
                demand.dtype,
                can_permute=is_recurrence and not self.has_feedback,
                composed=demand.composed,
                # Only states that are iterated have an activation.
                sums_alone=demand.sums_alone or not is_recurrence,
                beside=None if beside is None else companion_of(beside),
            )
        check_available(backend, self._device, demand.dtype)
        if permutes and self.has_feedback:
            raise ValueError(
                f"Expected outputs without outgoing edges for backend {backend!r} (got feedback"
                f" from an output). Use backend='auto'."
            )
        return Choice(backend, "asked for", {}, {})

    def _operator(self, name: str, backend: str) -> EdgeOperator:
        if (name, backend) not in self._operators:
            # What is built in inference mode could never be trained with.
            with torch.inference_mode(False):
                operator = BACKENDS[backend].build(self.edge_sets[name]).to(self._device)
            self._operators[name, backend] = operator
        return self._operators[name, backend]
