from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_modules._checks import as_coefficient, as_int
from pyg_modules.nn import SynchronousGraph, check_layer
from pyg_modules.partition.balance import balance_loss
from pyg_modules.partition.labels import SHARED
from pyg_modules.partition.ncut import PartitionedEdges, ncut_of
from pyg_modules.partition.rounding import balanced_labels

SCOPES = ("hidden", "all")


class PartitionRegularizer(nn.Module):
    r"""A penalty that organises the units of a layer into K balanced, independent modules.

    .. math::
        \lambda_{\mathrm{ncut}} \, \mathrm{ncut}(S) +
        \lambda_{\mathrm{balance}} \, \mathrm{balance}(S), \qquad S = \mathrm{softmax}(\Theta)

    In the gradient of the weights the volumes, the denominators of the cut, are constants: weights
    between modules shrink, and weights within are left to the task. Else the penalty could be
    lowered by inflating weights inside modules, best those of units that do nothing for the task.

    The logits :math:`\Theta` are parameters of this module: give both ``layer.parameters()`` and
    ``regularizer.parameters()`` to the optimizer, and no weight decay to the latter.

    Args:
        layer (SynchronousGraph): The layer to organise. It is referred to, not owned: its
            parameters are not among ``regularizer.parameters()``.
        num_modules (int): Number of modules :math:`K`, from 2 to the number of partitioned units.
        ncut (float, optional): Coefficient of :func:`ncut_loss`. (default: 1.0)
        balance (float, optional): Coefficient of :func:`balance_loss`. (default: 3.0)
        scope (str, optional): ``"hidden"`` partitions the hidden units; every module sees all
            inputs and adds to all outputs. ``"all"`` partitions inputs and outputs too.
            (default: ``"hidden"``)
        generator (torch.Generator, optional): Source of the random initial logits; the global one
            of torch by default.

    Raises:
        TypeError: If ``layer`` is not a ``SynchronousGraph`` or ``num_modules`` not an integer.
        ValueError: If ``num_modules``, a coefficient or ``scope`` is out of range.

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
        scope: str = "hidden",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_layer(layer)
        if scope not in SCOPES:
            raise ValueError(f"Expected scope 'hidden' or 'all' (got {scope!r}).")
        members = _partitioned_units(layer, scope)
        num_members = int(members.sum())
        num_modules = as_int("num_modules", num_modules, smallest=2)
        if num_modules > num_members:
            raise ValueError(
                f"Expected num_modules from 2 to {num_members}, the number of units that scope="
                f"{scope!r} partitions (got {num_modules})."
            )
        self._layer = (layer,)  # In a tuple, so that it is not registered as a submodule.
        self.num_modules = num_modules
        self.ncut = as_coefficient("ncut", ncut)
        self.balance = as_coefficient("balance", balance)
        self.scope = scope
        self.register_buffer("members", members, persistent=False)
        self.members: Tensor
        self.logits = nn.Parameter(layer.weight.new_empty(num_members, num_modules))
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
        """The penalty: the weighted sum of :meth:`losses`, a scalar."""
        losses = self.losses()
        return self.ncut * losses["ncut"] + self.balance * losses["balance"]

    def losses(self) -> dict[str, Tensor]:
        """The terms of the penalty without their coefficients: ``"ncut"`` and ``"balance"``."""
        assignment = self.assignment()
        magnitude = self.layer.weight.abs()
        return {
            "ncut": ncut_of(self._edges(), magnitude, assignment, fixed_volume=True),
            "balance": balance_loss(assignment),
        }

    def assignment(self) -> Tensor:
        """The soft assignment of the partitioned units, ``[N_partitioned, K]``, rows sum to 1."""
        return self.logits.softmax(dim=-1)

    def labels(self) -> Tensor:
        """Balanced hard labels, ``[N]``, −1 for units that are not partitioned.

        The sizes of two modules differ by one unit at most; see :func:`balanced_labels`.
        """
        labels = torch.full_like(self.members, SHARED, dtype=torch.long)
        labels[self.members] = balanced_labels(self.assignment())
        return labels

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
        return (
            f"num_modules={self.num_modules}, ncut={self.ncut}, balance={self.balance},"
            f" scope={self.scope!r}"
        )


def _partitioned_units(layer: SynchronousGraph, scope: str) -> Tensor:
    graph = layer.graph
    members = torch.full((graph.num_units,), scope == "all", device=layer.weight.device)
    members[graph.hidden.start : graph.hidden.stop] = True
    return members
