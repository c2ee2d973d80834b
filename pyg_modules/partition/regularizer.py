from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from pyg_modules._checks import as_coefficient
from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer
from pyg_modules.partition.affinity import check_affinity, magnitude_of
from pyg_modules.partition.balance import balance_loss, cost_balance_of
from pyg_modules.partition.edges import PartitionedEdges
from pyg_modules.partition.labels import SHARED, labels_of_members
from pyg_modules.partition.methods import partition_units
from pyg_modules.partition.ncut import ncut_of
from pyg_modules.partition.rounding import balanced_labels
from pyg_modules.partition.scope import check_linked, check_scope, partitioned_units
from pyg_modules.partition.sharpness import sharpness_loss
from pyg_modules.partition.size_bounds import SizeBounds

#: The terms of the penalty, which are the names of their coefficients.
TERMS = ("ncut", "balance", "cost_balance", "sharpness")
_TRAINED = ("both", "assignment", "weights")
_USUAL = {"affinity": "abs", "capacities": None, "train": "both"}


class PartitionRegularizer(nn.Module):
    r"""A penalty that organises the units of a layer into K balanced, independent modules.

    .. math::
        \lambda_{\mathrm{ncut}} \, \mathrm{ncut}(S) +
        \lambda_{\mathrm{balance}} \, \mathrm{balance}(S) + \dots, \qquad
        S = \mathrm{softmax}(\Theta)

    In the gradient of the weights the volumes, the denominators of the cut, are constants: weights
    between modules shrink, and weights within are left to the task. Else the penalty could be
    lowered by inflating weights inside modules, best those of units that do nothing for the task.

    The logits :math:`\Theta` are parameters of this module: give both ``layer.parameters()`` and
    ``regularizer.parameters()`` to the optimizer, and no weight decay to the latter. A
    :class:`PartitionSchedule` tells when to switch the terms on and finds the modules.

    Args:
        layer (SynchronousGraph): The layer to organise, not cut yet. It is referred to, not owned:
            its parameters are not among ``regularizer.parameters()``.
        num_modules (int): Number of modules :math:`K`, from 2 to the number of partitioned units.
        ncut (float, optional): Coefficient of :func:`ncut_loss`. (default: 1.0)
        balance (float, optional): Coefficient of :func:`balance_loss`. (default: 3.0)
        cost_balance (float, optional): Coefficient of :func:`cost_balance_loss`. (default: 0.0)
        sharpness (float, optional): Coefficient of :func:`sharpness_loss`. (default: 0.0)
        scope (str, optional): ``"hidden"`` partitions the hidden units; every module sees all
            inputs and adds to all outputs. ``"all"`` partitions inputs and outputs too.
            (default: ``"hidden"``)
        affinity (str, optional): What a weight counts in the cut, ``"abs"``, its magnitude, or
            ``"square"``. (default: ``"abs"``)
        capacities (sequence of int, optional): Number of units of every module; they add up to the
            number of partitioned units. (default: equal)
        train (str, optional): What has a gradient: the ``"weights"`` of the layer, the
            ``"assignment"`` or ``"both"``. (default: ``"both"``)
        generator (torch.Generator, optional): Source of the random initial logits; the global one
            of torch by default.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph`` or ``num_modules`` not an integer.
        ValueError: If an argument is out of range, the capacities do not add up, no edge joins two
            partitioned units, or the layer is cut already.

    Example:
        >>> from pyg_modules import PartitionRegularizer, SynchronousGraph, UnitGraph
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 128, 10))
        >>> regularizer = PartitionRegularizer(layer, num_modules=4)
        >>> sorted(regularizer.losses())
        ['balance', 'ncut']
    """

    def __init__(
        self,
        layer: SynchronousGraph,
        num_modules: int,
        *,
        ncut: float = 1.0,
        balance: float = 3.0,
        cost_balance: float = 0.0,
        sharpness: float = 0.0,
        scope: str = "hidden",
        affinity: str = "abs",
        capacities: Sequence[int] | None = None,
        train: str = "both",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_layer(layer)
        check_scope(scope)
        check_affinity(affinity)
        if train not in _TRAINED:
            names = ", ".join(repr(name) for name in _TRAINED)
            raise ValueError(f"Expected train to be one of {names} (got {train!r}).")
        if layer.labels is not None:
            raise ValueError(
                "Expected a layer that is not cut yet (got one made by cut). Its modules are in"
                " layer.labels; regularize the layer before the cut."
            )
        members = partitioned_units(layer, scope)
        SizeBounds.of(int(members.sum()), num_modules, capacities)
        check_linked(layer, scope)
        self._layer = (layer,)  # In a tuple, so that it is not registered as a submodule.
        self.num_modules = int(num_modules)
        self.ncut = as_coefficient("ncut", ncut)
        self.balance = as_coefficient("balance", balance)
        self.cost_balance = as_coefficient("cost_balance", cost_balance)
        self.sharpness = as_coefficient("sharpness", sharpness)
        self.scope = scope
        self.affinity = affinity
        self.capacities = None if capacities is None else tuple(map(int, capacities))
        self.trains = train
        #: What all coefficients are multiplied by, from 0 to 1; :class:`PartitionSchedule` sets it.
        self.strength = 1.0
        self.register_buffer("members", members, persistent=False)
        self.members: Tensor
        self.logits = nn.Parameter(layer.weight.new_empty(int(members.sum()), self.num_modules))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the logits from N(0, 0.1), close to no preference.

        Args:
            generator (torch.Generator, optional): Source of randomness; the global one of torch by
                default.
        """
        with torch.no_grad():
            self.logits.normal_(0.0, 0.1, generator=generator)

    def forward(self) -> Tensor:
        """The penalty: the weighted sum of :meth:`losses`, a scalar; 0 without :meth:`losses`."""
        return self.weighted(self.losses())

    def losses(self) -> dict[str, Tensor]:
        """The terms of the penalty without their coefficients.

        Those of coefficient 0 are left out and cost nothing; so are all at strength 0.

        Returns:
            dict: Of ``"ncut"``, ``"balance"``, ``"cost_balance"`` and ``"sharpness"``, scalars.
        """
        active = [name for name in TERMS if self.strength * getattr(self, name) > 0]
        if not active:
            return {}
        edges, assignment = self._edges(), self.assignment()
        weight = self.layer.edge_weight()
        if self.trains == "weights":
            assignment = assignment.detach()
        elif self.trains == "assignment":
            weight = weight.detach()
        terms = {
            "ncut": lambda: ncut_of(
                edges, magnitude_of(weight, self.affinity), assignment, fixed_volume=True
            ),
            "balance": lambda: balance_loss(assignment, capacities=self.capacities),
            "cost_balance": lambda: cost_balance_of(edges, assignment),
            "sharpness": lambda: sharpness_loss(assignment),
        }
        return {name: terms[name]() for name in active}

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """What :meth:`losses` returned, each times its coefficient and the strength, summed."""
        # A sum of no terms can be differentiated too.
        total: Tensor = self.logits.new_zeros(()).requires_grad_(torch.is_grad_enabled())
        for name, loss in losses.items():
            total = total + self.strength * getattr(self, name) * loss
        return total

    def assignment(self) -> Tensor:
        """The soft assignment of the partitioned units, ``[N_partitioned, K]``, rows sum to 1."""
        return self.logits.softmax(dim=-1)

    def labels(self, *, tolerance: float = 0.0, seed: int = 0) -> Tensor:
        """Balanced hard labels, ``[N]``, −1 for units that are not partitioned.

        The assignment is rounded by :func:`balanced_labels`, then improved on the weights of the
        layer as they are, by moves that lower the normalized cut.

        Args:
            tolerance (float, optional): By which share of its capacity a module may be smaller or
                larger. (default: 0.0, which is one unit where sizes cannot be equal)
            seed (int, optional): Of the moves. (default: 0)

        Raises:
            ValueError: If the logits or the weights are not finite, or all weights are 0.
        """
        rounded = torch.full_like(self.members, SHARED, dtype=torch.long)
        rounded[self.members] = balanced_labels(
            self.assignment(), capacities=self.capacities, tolerance=tolerance
        )
        return partition_units(
            self.layer,
            self.num_modules,
            scope=self.scope,
            affinity=self.affinity,
            capacities=self.capacities,
            tolerance=tolerance,
            initial=rounded,
            seed=seed,
        )

    def set_labels(self, labels: Tensor, confidence: float = 0.99) -> None:
        """Set the logits so that every unit belongs to its module of ``labels``.

        Args:
            labels (LongTensor): Module of every unit, ``[N]``, e.g. of :func:`partition_units`.
            confidence (float, optional): The assignment of a unit to its module, in (1 / K, 1).
                (default: 0.99)

        Raises:
            TypeError: If ``labels`` is not an integer tensor or ``confidence`` not a number.
            ValueError: If ``labels`` has the wrong length, other modules than K, or leaves out a
                unit that is partitioned; or if ``confidence`` is out of range.
        """
        of_members = labels_of_members(labels, self.members, self.num_modules)
        confidence = as_coefficient("confidence", confidence)
        if not 1 / self.num_modules < confidence < 1:
            raise ValueError(
                f"Expected confidence between 1 / {self.num_modules} and 1 (got {confidence})."
            )
        own = log(confidence * (self.num_modules - 1) / (1 - confidence))
        with torch.no_grad():
            self.logits.zero_()
            self.logits.scatter_(1, of_members.unsqueeze(1), own)

    @property
    def layer(self) -> SynchronousGraph:
        """The layer that is organised."""
        return self._layer[0]

    def _edges(self) -> PartitionedEdges:
        device, weight = self.logits.device, self.layer.weight
        if device != weight.device:
            raise ValueError(
                f"Expected the regularizer on device {weight.device}, that of its layer (got"
                f" {device}). Use regularizer.to({str(weight.device)!r})."
            )
        if self.logits.dtype != weight.dtype:
            raise TypeError(
                f"Expected the regularizer in {weight.dtype}, that of its layer (got"
                f" {self.logits.dtype}). Use regularizer.to({weight.dtype})."
            )
        graph = self.layer.graph
        return graph.cached(
            ("partition", self.scope, device),
            lambda: PartitionedEdges.build(graph.edge_index, self.members),
        )

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        settings = {name: getattr(self, name) for name in TERMS}
        shown = [f"{name}={value}" for name, value in settings.items() if value]
        options = {"affinity": self.affinity, "capacities": self.capacities, "train": self.trains}
        shown += [f"{name}={value!r}" for name, value in options.items() if value != _USUAL[name]]
        return ", ".join([f"num_modules={self.num_modules}", *shown, f"scope={self.scope!r}"])
