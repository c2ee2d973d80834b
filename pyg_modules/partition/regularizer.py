from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from pyg_modules._checks import as_coefficient, as_int, check_choice, check_generator
from pyg_modules._refusals import refuse_script
from pyg_modules.ops.sharding import overwrite, whole
from pyg_modules.ops.tracing import is_compiling
from pyg_modules.partition.labels import check_labels
from pyg_modules.partition.losses import LOSSES
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.rounding import balanced_labels
from pyg_modules.partition.units import Partitionable, Units

# What the state of one with num_modules="auto" calls the number of modules that was decided on, and
# their sizes, 0 where they are equal.
_DECIDED, _SIZES = "_decided", "_sizes"
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
        layer (Partitionable): The layer to organise, not cut yet. It is referred to, not owned:
            its parameters are not among ``regularizer.parameters()``, and a deep copy of the
            regularizer alone is one of the same layer. A pickle has the layer in it: pickle both
            together.
        num_modules (int or str): Number of modules :math:`K`, from 2 to the number of partitioned
            units; or ``"auto"``, which leaves it to a :class:`PartitionSchedule`: the largest
            number up to 8 of which the modules are good. But for scope ``"hidden"``, their sizes,
            too.
        ncut (float, optional): Coefficient of :func:`ncut_loss`. (default: 1.0)
        balance (float, optional): Coefficient of :func:`balance_loss`. (default: 3.0)
        cost_balance (float, optional): Coefficient of :func:`cost_balance_loss`. (default: 0.0)
        sharpness (float, optional): Coefficient of :func:`sharpness_loss`. (default: 0.0)
        **coefficients (float): The four above, and those of other losses in ``LOSSES``.
        scope (str, optional): ``"hidden"`` partitions the hidden units; every module sees all
            inputs and adds to all outputs. ``"inputs"`` partitions inputs too: every module sees
            its own, and adds to all outputs. ``"all"`` partitions inputs and outputs.
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
        TypeError: If ``layer`` is not ``Partitionable``, ``num_modules`` not an integer, or a loss
            unknown.
        ValueError: If an argument is out of range, the capacities do not add up, no edge joins two
            partitioned units, no path through them is short enough for the updates of the layer,
            there are fewer of these beside each other than modules, or the layer is cut already.

    Example:
        >>> from pyg_modules import PartitionRegularizer, SynchronousGraph, UnitGraph
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 128, 10))
        >>> regularizer = PartitionRegularizer(layer, num_modules=4)
        >>> sorted(regularizer.losses())
        ['balance', 'ncut']
    """

    # Told to type checkers; they are set for every entry of LOSSES.
    ncut: float
    balance: float
    cost_balance: float
    sharpness: float

    def __init__(
        self,
        layer: Partitionable,
        num_modules: int | Literal["auto"],
        *,
        scope: str = "hidden",
        affinity: str = "abs",
        capacities: Sequence[int] | None = None,
        train: str = "both",
        generator: torch.Generator | None = None,
        **coefficients: float,
    ) -> None:
        super().__init__()
        #: The units that are partitioned.
        self.units = Units(
            layer,
            scope=scope,
            affinity=affinity,
            capacities=capacities,
            train_weights=train != "assignment",
        )
        check_choice("train", train, _TRAINED)
        self.units.check_whole()
        #: Whether the number of modules is left to a schedule.
        self.is_auto = num_modules == "auto"
        if num_modules == "auto":
            if capacities is not None:
                raise ValueError(
                    f"Expected num_modules, one for each of the capacities (got 'auto', and"
                    f" {len(capacities)} of them). Say how many, or leave capacities out."
                )
            # Logits are for as many modules as there may be; a schedule tells how many there are.
            most = max(2, self.units.most_modules())
        else:
            most = as_int("num_modules", num_modules, smallest=2)
        self.units.bounds(most)
        self.units.check_linked()
        self.units.check_paths(2 if self.is_auto else most)
        self._num_modules = 0 if self.is_auto else most
        self._trains = train
        if unknown := set(coefficients) - set(LOSSES):
            names = ", ".join(repr(name) for name in LOSSES)
            raise TypeError(
                f"Expected coefficients of {names} (got an unexpected keyword argument"
                f" {min(unknown)!r})."
                " Name one of these."
            )
        #: What all coefficients are multiplied by, at least 0; :class:`PartitionSchedule` sets it.
        self.strength = 1.0
        #: Whether terms were evaluated since a schedule last set labels.
        self.was_evaluated = False
        weight = layer.edge_weight().detach()
        self.logits = nn.Parameter(weight.new_empty(len(self.units), most))
        for name, loss in LOSSES.items():
            if hasattr(self, name):
                raise ValueError(
                    f"Expected losses with names of their own (got {name!r}, which a regularizer"
                    f" has already). Rename it in LOSSES."
                )
            setattr(self, name, as_coefficient(name, coefficients.get(name, loss.coefficient)))
        #: Names of the losses, which are attributes with their coefficients.
        self.terms = tuple(LOSSES)
        self.reset_parameters(generator)

    def __setattr__(self, name: str, value: Any) -> None:
        # A negative one would switch its term off without a word.
        if name == "strength" or name in self.__dict__.get("terms", ()):
            value = as_coefficient(name, value)
        super().__setattr__(name, value)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the logits from N(0, 0.1), close to no preference.

        Args:
            generator (torch.Generator, optional): Source of randomness; the global one of torch by
                default.
        """
        check_generator(generator)
        drawn = self._new_logits()
        drawn.normal_(0.0, 0.1, generator=generator)
        overwrite(self.logits, drawn)

    def forward(self) -> Tensor:
        """The penalty: the weighted sum of :meth:`losses`, a scalar; 0 without :meth:`losses`."""
        return self.weighted(self.losses())

    def losses(self) -> dict[str, Tensor]:
        """The terms of the penalty without their coefficients.

        Those of coefficient 0 are left out and cost nothing; so are all at strength 0.

        Returns:
            dict: By name, scalars.
        """
        active = [name for name in self.terms if self.coefficient(name) > 0]
        if not active:
            return {}
        if isinstance(self.logits, Proxy):
            raise RuntimeError(
                "Expected a PartitionRegularizer outside of torch.fx.symbolic_trace (got it"
                " inside). Trace the model, and add regularizer() to its loss."
            )
        self._check_match()
        self.was_evaluated = True
        assignment = self.assignment()
        if self.trains == "weights":
            assignment = assignment.detach()
        return {name: LOSSES[name].of(self.units, assignment) for name in active}

    def coefficient(self, name: str) -> float:
        """What a loss is multiplied by now: its coefficient times the strength."""
        coefficient: float = getattr(self, name)
        return self.strength * coefficient

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """What :meth:`losses` returned, each times its coefficient and the strength, summed."""
        total = torch.zeros((), device=self.logits.device, dtype=self.logits.dtype)
        if not losses and not is_compiling():
            # A sum of no terms can be differentiated too; a compiler returns no such thing.
            return total.requires_grad_(torch.is_grad_enabled())
        for name, loss in losses.items():
            total = total + self.coefficient(name) * loss
        return total

    @torch.no_grad()
    def status(self) -> str:
        """What it asks of the network now, in a sentence: its terms and their coefficients."""
        if self.is_undecided:
            return "modules of a number that is not decided yet, no term is on"
        active = [name for name in self.terms if self.coefficient(name) > 0]
        if not active:
            return f"{self.num_modules} modules, no term is on"
        self._check_match()
        assignment = self.assignment()
        terms = [
            f"{name} {float(LOSSES[name].of(self.units, assignment)):.4g}"
            f" (times {self.coefficient(name):.3g})"
            for name in active
        ]
        return f"{self.num_modules} modules, {', '.join(terms)}"

    def assignment(self) -> Tensor:
        """The soft assignment of the partitioned units, ``[N_partitioned, K]``, rows sum to 1."""
        logits = whole(self.logits)
        if self.is_auto:
            logits = logits[:, : self.num_modules]
        return logits.softmax(dim=-1)

    @property
    def num_modules(self) -> int:
        """Number of modules K.

        Raises:
            RuntimeError: If it is left to a schedule, which has not decided yet.
        """
        if self.is_undecided:
            raise RuntimeError(
                "Expected a number of modules (got num_modules='auto', and nobody has decided yet)."
                " Give the regularizer to a PartitionSchedule with a probe, which decides once the"
                " network knows its task; or say how many."
            )
        return self._num_modules

    @property
    def is_undecided(self) -> bool:
        """Whether the number of modules is left to a schedule, which has not decided yet."""
        return self._num_modules == 0

    def _new_logits(self) -> Tensor:
        logits = self.logits
        return torch.empty(logits.shape, device=logits.device, dtype=logits.dtype)

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
        rounded = balanced_labels(
            self.assignment(), capacities=self.units.capacities, tolerance=tolerance
        )
        start = self.units.labels_of_all(rounded)
        return find_labels(
            self.units, self.num_modules, tolerance=tolerance, initial=start, seed=seed
        )

    def set_labels(
        self, labels: Tensor, confidence: float = 0.99, *, tolerance: float = 0.0
    ) -> None:
        """Set the logits so that every unit belongs to its module of ``labels``.

        Args:
            labels (LongTensor): Module of every unit, ``[N]``, e.g. of :func:`partition_units`.
                Where their number was left to a schedule, these decide, and on their sizes, too.
            confidence (float, optional): The assignment of a unit to its module, in (1 / K, 1).
                (default: 0.99)
            tolerance (float, optional): By which share of its capacity a module may be smaller or
                larger before other sizes are decided on. (default: 0.0)

        Raises:
            TypeError: If ``labels`` is not an integer tensor or ``confidence`` not a number.
            ValueError: If ``labels`` has the wrong length, other modules than K or one without a
                unit that is partitioned, or leaves out such a unit; or if ``confidence`` is out of
                range.
        """
        num_modules = self._num_modules
        if self.is_auto:
            num_modules = check_labels(labels, self.units.layer.graph.num_units)
            most = self.logits.size(1)
            if not 2 <= num_modules <= most:
                raise ValueError(
                    f"Expected labels with 2 to {most} modules, where num_modules='auto' leaves"
                    f" their number open (got {num_modules}). Use labels of as many, or a"
                    f" PartitionRegularizer that is told the number."
                )
        own = self.units.labels_of_members(labels, num_modules).to(self.logits.device)
        confidence = as_coefficient("confidence", confidence)
        if not 1 / num_modules < confidence < 1:
            raise ValueError(
                f"Expected confidence between 1 / {num_modules} and 1 (got {confidence})."
                " Choose one between, e.g. 0.9."
            )
        if self.is_auto:
            self._decide(own.bincount(minlength=num_modules).tolist(), tolerance)
        logit = log(confidence * (num_modules - 1) / (1 - confidence))
        overwrite(self.logits, self._new_logits().zero_().scatter_(1, own.unsqueeze(1), logit))

    @property
    def layer(self) -> Any:
        """The layer that is organised, as it was given."""
        return self.units.layer

    @property
    def members(self) -> Tensor:
        """The units that are partitioned, a boolean mask ``[N]``."""
        return self.units.members

    @property
    def trains(self) -> str:
        """What has a gradient, ``"weights"``, ``"assignment"`` or ``"both"``."""
        return self._trains

    @property
    def scope(self) -> str:
        """Which units are partitioned, ``"hidden"``, ``"inputs"`` or ``"all"``."""
        return self.units.scope

    @property
    def affinity(self) -> str:
        """What a weight counts in the cut, ``"abs"`` or ``"square"``."""
        return self.units.affinity

    @property
    def capacities(self) -> tuple[int, ...] | None:
        """Number of units of every module, where they were given."""
        capacities = self.units.capacities
        return None if capacities is None else tuple(map(int, capacities))

    __prepare_scriptable__ = refuse_script

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.is_auto:  # No buffers: averages of buffers would decide on another number.
            sizes = torch.zeros(self.logits.size(1), dtype=torch.long, device="cpu")
            for module, size in enumerate(self.units.capacities or ()):
                sizes[module] = int(size)
            destination[f"{prefix}{_DECIDED}"] = torch.tensor(self._num_modules, device="cpu")
            destination[f"{prefix}{_SIZES}"] = sizes

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        names = [f"{prefix}{name}" for name in (_DECIDED, _SIZES)] if self.is_auto else []
        others = {name: value for name, value in state_dict.items() if name not in names}
        num_errors = len(errors)
        super()._load_from_state_dict(others, prefix, metadata, strict, missing, unexpected, errors)
        absent = [name for name in names if name not in state_dict]
        missing += absent
        # With an error, it is of other units, which are not so many.
        if names and not absent and len(errors) == num_errors:
            decided, sizes = (state_dict[name] for name in names)
            self._num_modules = int(decided)
            self.units.capacities = sizes[sizes > 0].tolist() or None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PartitionRegularizer:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        _ = self.units.edges  # A compiler has to find them ready, where the layer was moved before.
        return self

    def _decide(self, sizes: list[int], tolerance: float) -> None:
        """Have as many modules, of these sizes; of the present or equal ones, if they are alike."""
        present = self.units.capacities if self._num_modules == len(sizes) else None
        for capacities in (present, None):
            bounds = self.units.replaced(capacities=capacities).bounds(len(sizes), tolerance)
            if bounds.allow(sizes):
                break
        else:
            capacities = sizes
        self._num_modules = len(sizes)
        self.units.capacities = capacities

    def _check_match(self) -> None:
        weight = self.layer.edge_weight()
        device, dtype = weight.device, weight.dtype
        if self.logits.device != device:
            raise ValueError(
                f"Expected the regularizer on device {device}, that of its layer (got"
                f" {self.logits.device}). Use regularizer.to({str(device)!r})."
            )
        if self.logits.dtype != dtype:
            raise TypeError(
                f"Expected the regularizer in {dtype}, that of its layer (got"
                f" {self.logits.dtype}). Use regularizer.to({dtype})."
            )

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        settings = {name: getattr(self, name) for name in self.terms}
        shown = [f"{name}={value}" for name, value in settings.items() if value]
        options = {"affinity": self.affinity, "capacities": self.capacities, "train": self.trains}
        shown += [f"{name}={value!r}" for name, value in options.items() if value != _USUAL[name]]
        num_modules = "'auto'" if self.is_undecided else self.num_modules
        return ", ".join([f"num_modules={num_modules}", *shown, f"scope={self.scope!r}"])
