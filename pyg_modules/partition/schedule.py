from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules._checks import as_int, as_share, check_state
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.admissible.admissible import DeadModulesError
from pyg_modules.partition.judge import PartitionProbe, asked_by, losses_in, measures
from pyg_modules.partition.labels import check_labels
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.reading import choose_num_modules, read_modules
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.reminders import Reminders
from pyg_modules.partition.suggest import suggest_num_modules
from pyg_modules.partition.verdict import GOOD, Verdict

# At which shares of the epochs the modules are read off the weights, if the network has learned
# enough: well for the early ones. And at the end.
_EARLY_READINGS = (0.3, 0.4)
_READINGS = (0.5, 0.6, 0.7, 0.8, 0.9)
# For how much of the epochs the terms are raised.
_RAMP = 0.1
# While a cut right away costs more than this share of what was learned, the terms are multiplied;
# they are divided while the loss is more than this share of that of chance.
_COSTLY, _FACTOR = 0.02, 1.5
_FORGETFUL = 0.1
# After how much of the epochs that is looked at, and modules that are not good yet are repaired.
_CHECK = 0.02
# The assignment of a unit to its module.
_CONFIDENCE = 0.99
# When the terms are switched on; see PartitionSchedule. Chosen on planted problems.
_LEARNED = 0.3
_WELL_LEARNED = 0.15
_NEARLY_LEARNED, _FALLING = 0.25, 0.95
# How many cuts at random there are in the end.
_NUM_RANDOM = 3


class PartitionSchedule:
    r"""Tells a regularizer what to do as the training goes on: learn first, then organise.

    Call :meth:`step` at the beginning of every epoch. At every tenth of the epochs from 0.3 on at
    which the network has learned most of its task, and at the end, modules are **read** off the
    weights, and off which outputs depend on which inputs, in several ways, and **probed**: what
    loss does the network learn back to in a short training when it is cut that way? The best are
    kept; while they are good and the terms are on, no others are tried before the end.

    * **free**: no term is on, so that the task forms structure. A penalty before that makes modules
      that are arbitrary.
    * **ramp**: once the network knows its task, and so the modules mean something, the terms of the
      regularizer are raised to their coefficients within a tenth of the epochs. It does when its
      loss is less than 0.3 of that of chance, the best outputs that are the same for all samples,
      and the best modules cost less than a tenth of what a cut at random costs; or when the loss is
      less than 0.15 of that of chance, or less than 0.25 and no longer falls. In the first half of
      the epochs it has to be less than 0.15.
    * **full**: all terms are on. Every fiftieth of the epochs they are multiplied by 1.5, if a cut
      right away would still cost more than a fiftieth of what the network has learned; or divided
      by 1.5, down to their coefficients, if its loss is more than 0.1 of that of chance.

    While the terms are on and the modules are not good yet, they are **repaired** every fiftieth of
    the epochs: the assignment is rounded, improved by moves that lower the normalized cut of the
    weights as they are, and set again. Good modules are left alone.

    Without a probe, nobody can tell whether the network knows its task: then no term is ever on,
    and the modules are read off the weights at the end.

    Args:
        regularizer (PartitionRegularizer): Its coefficients are those that are reached. The
            schedule changes its ``strength``, and the logits.
        epochs (int): Number of epochs until the cut.
        probe (PartitionProbe, optional): What says the worth of modules:
            ``pyg_modules.train.Probe(model, data, layer=layer)``. (default: :func:`fit`,
            :func:`organise` and :class:`LitModular` give theirs)
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.1)
        seed (int, optional): Of the search for modules. (default: 0)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> from torch.nn.functional import mse_loss
        >>> from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph
        >>> from pyg_modules import UnitGraph, cut
        >>> from pyg_modules.train import Probe
        >>> x, y = torch.rand(64, 2), torch.rand(64, 1)
        >>> layer = SynchronousGraph(UnitGraph.complete(2, 8, 1))
        >>> regularizer = PartitionRegularizer(layer, num_modules=2)
        >>> probe = Probe(layer, (x, y), loss=mse_loss)
        >>> schedule = PartitionSchedule(regularizer, epochs=20, probe=probe)
        >>> optimizer = torch.optim.Adam([*layer.parameters(), *regularizer.parameters()])
        >>> for epoch in range(20):
        ...     schedule.step(epoch)
        ...     loss = mse_loss(layer(x), y) + regularizer()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        >>> modular = cut(layer, schedule.labels())
    """

    # That of the last step, if there was one.
    _epoch: int | None
    # When the terms were switched on, when modules were looked at last, and what the terms are
    # multiplied by since.
    _opened_at: int | None
    _checked_at: int
    _factor: float
    # Of the last reading of the training.
    _verdict: Verdict | None
    # Of the graph and the weights beside it, which a user asked for.
    _latest: tuple[UnitGraph, Tensor, Verdict] | None

    def __init__(
        self,
        regularizer: PartitionRegularizer,
        epochs: int,
        *,
        probe: PartitionProbe | None = None,
        tolerance: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not isinstance(regularizer, PartitionRegularizer):
            raise TypeError(
                f"Expected a PartitionRegularizer (got {type(regularizer).__name__}). Make one of"
                f" the layer: PartitionRegularizer(layer, num_modules)."
            )
        self.regularizer = regularizer
        self.epochs = as_int("epochs", epochs, smallest=1)
        self.probe = probe
        self.tolerance = as_share("tolerance", tolerance)
        self.seed = as_int("seed", seed, smallest=0)
        self._reminders = Reminders(regularizer)
        self._forget()

    @property
    def probe(self) -> PartitionProbe | None:
        """What says the worth of modules; it may be given later.

        Raises:
            TypeError: If what it is set to is no probe.
            ValueError: If that cuts another layer than the regularizer's.
        """
        return self._probe

    @probe.setter
    def probe(self, probe: PartitionProbe | None) -> None:
        is_probe = callable(probe) and not isinstance(probe, type)
        asked = ["chance", *asked_by(self.regularizer.units.scope)]
        is_probe = is_probe and all(hasattr(probe, name) for name in asked)
        if probe is not None and not is_probe:
            raise TypeError(
                f"Expected a probe that can be called with labels and has"
                f" {'(), '.join(asked[:-1])}() and {asked[-1]}() (got {type(probe).__name__}). Use"
                f" pyg_modules.train.Probe(model, data)."
            )
        layer, probed = self.regularizer.layer, getattr(probe, "layer", None)
        # The layer may be wrapped; and what is no Module may still look at the weights of one.
        if probed is not None and isinstance(layer, nn.Module) and probed not in layer.modules():
            raise ValueError(
                "Expected a probe of the layer of the regularizer (got one of another layer). Make"
                " it of that one: Probe(model, data, layer=regularizer.layer)."
            )
        self._probe, self._is_lent = probe, False

    @property
    def needs_probe(self) -> bool:
        """Whether a training that begins is to :meth:`lend` one: the user gave none."""
        return self.probe is None or self._is_lent

    def lend(self, probe: PartitionProbe) -> None:
        """Take the probe of a training that begins, in the place of that of an earlier one.

        Args:
            probe (PartitionProbe): What says the worth of modules from now on.

        Raises:
            TypeError: If it is no probe.
            ValueError: If it cuts another layer than the regularizer's.
        """
        self.probe = probe
        self._is_lent = True

    def step(self, epoch: int) -> None:
        """Read, probe or repair the modules if it is time, and set the strength for an epoch.

        Args:
            epoch (int): Number of the epoch that begins, from 0. That of the last step is nothing
                new; a lower one begins another training.

        Raises:
            TypeError: If ``epoch`` is not an integer.
            ValueError: If ``epoch`` is negative; or, when modules are read or repaired, if the
                weights or the logits are not finite, or all weights are 0.
        """
        epoch = as_int("epoch", epoch, smallest=0)
        if epoch == self._epoch:
            return
        if self._epoch is not None and epoch < self._epoch:
            self._forget()
        if self._epoch is not None and self._strength(self._epoch) > 0:
            self._reminders.check()
        since = epoch - 1 if self._epoch is None else self._epoch
        self._epoch = epoch
        if self.probe is not None:
            if self._is_worth_reading(since, epoch):
                number = self._num_modules()
                before, self._verdict = self._verdict, self._kept(number) or self._read(number)
                if self._opened_at is None and _is_learned(self._verdict, before):
                    self._opened_at = epoch
                elif self._opened_at is not None and number != self.regularizer.num_modules:
                    self._opened_at, self._factor = epoch, 1.0  # They are others.
                if self._opened_at is not None:
                    self._set_labels(self._verdict.labels)
                    self._adapt(epoch, self._verdict.uncut, self._verdict.cut)
            elif self._verdict is not None and self._is_check_due(epoch):
                labels = self._verdict.labels
                if self._verdict.lost >= GOOD:
                    labels = self._repaired(labels)
                    self._set_labels(labels)
                self._adapt(epoch, self.probe(None), self.probe(labels, trained=False))
        self.regularizer.strength = self._strength(epoch)

    def __str__(self) -> str:
        """Where the training is: the epoch, the phase, the terms, and what was last read."""
        if self._epoch is None:
            return f"not begun, {self.epochs} epochs: {self.regularizer.status()}"
        found = "No modules were read yet." if self._verdict is None else str(self._verdict)
        return (
            f"epoch {self._epoch + 1} of {self.epochs}, phase {self.phase(self._epoch)!r}:"
            f" {self.regularizer.status()}. {found}"
        )

    def phase(self, epoch: int) -> str:
        """The phase of an epoch as far as it is known, ``"free"``, ``"ramp"`` or ``"full"``."""
        strength = self._strength(as_int("epoch", epoch, smallest=0))
        if self._opened_at is None or epoch < self._opened_at:
            return "free"
        return "ramp" if strength < 1 else "full"

    def labels(self) -> Tensor:
        """The modules as they are now, ``[N]``, −1 for units that are not partitioned.

        The best of several partitions of the weights as they are, by the probe; without one, that
        of :func:`partition_units`. Sizes are within the tolerance.
        """
        if self.probe is None:
            warnings.warn(
                "No term of the regularizer was ever on, and the modules are those of"
                " partition_units: the PartitionSchedule has no probe to see whether the network"
                " knows its task. Give it one, PartitionSchedule(regularizer, epochs,"
                " probe=pyg_modules.train.Probe(model, data)), or train by pyg_modules.train.fit.",
                stacklevel=2,
            )
            units = self.regularizer.units
            if self.regularizer.is_undecided:
                suggestion = suggest_num_modules(
                    units.layer, scope=units.scope, affinity=units.affinity
                )
                num_modules = min(suggestion.num_modules, units.most_modules())
            else:
                num_modules = self.regularizer.num_modules
            return find_labels(units, num_modules, tolerance=self.tolerance, seed=self.seed)
        return self.verdict().labels

    def verdict(self) -> Verdict:
        """What the modules are worth, as they are now.

        Raises:
            ValueError: If there is no probe; or the weights or the logits are not finite, or all
                weights are 0.
        """
        if self.probe is not None and self._epoch is None:
            self._reminders.never_stepped()
        layer = self.regularizer.layer
        graph, weight = layer.graph, layer.edge_weight().detach()
        before = self._latest
        if (
            before is None
            or graph is not before[0]
            or not torch.equal(weight, before[1])
            # All else that the network is made of is in its loss.
            or self._probe_or_raise()(None) != before[2].uncut
        ):
            verdict = self._read(self._num_modules(), _NUM_RANDOM)
            self._latest = graph, weight.clone(), verdict
            return verdict
        return before[2]

    @property
    def last_verdict(self) -> Verdict | None:
        """What the modules were worth when they were last read in the training, if they were.

        Cuts at random and shuffled weights are those of the reading that found the modules.
        """
        return self._verdict

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        """The terms of the penalty as they are now; none in the free phase.

        Returns:
            dict: By name, the coefficient times the strength, and the loss without it, a scalar.
        """
        losses = self.regularizer.losses()
        return {name: (self.regularizer.coefficient(name), loss) for name, loss in losses.items()}

    def parameters(self) -> list[nn.Parameter]:
        """What is to be trained beside the parameters of the model, without weight decay."""
        return list(self.regularizer.parameters())

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept, beside the regularizer's ``state_dict``, to go on in an epoch.

        At its end or, where the epoch is begun again, after its :meth:`step`.
        """
        return {
            "epoch": self._epoch,
            "opened_at": self._opened_at,
            "checked_at": self._checked_at,
            "factor": self._factor,
            "verdict": None if self._verdict is None else self._verdict.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned.

        Raises:
            TypeError: If ``state`` is no dict.
            ValueError: If it is that of something else, or of a layer of other units.
        """
        check_state(type(self).__name__, state, self.state_dict())
        verdict = None
        if state["verdict"] is not None:
            verdict = Verdict.of_state(state["verdict"])
            check_labels(verdict.labels, self.regularizer.layer.graph.num_units)
        self._forget()
        self._epoch = state["epoch"]
        self._opened_at, self._checked_at = state["opened_at"], state["checked_at"]
        self._factor, self._verdict = state["factor"], verdict
        if self._epoch is not None:
            self.regularizer.strength = self._strength(self._epoch)

    def _forget(self) -> None:
        self._checked_at, self._factor = 0, 1.0
        self._epoch = self._opened_at = self._verdict = self._latest = None
        # Whoever never steps has no term on.
        self.regularizer.strength = 0.0

    def _is_worth_reading(self, since: int, epoch: int) -> bool:
        """Whether it is time, or was since another step, and enough is learned, or was before."""
        is_early, is_usual = (
            any(since < max(1, round(share * self.epochs)) <= epoch for share in shares)
            for shares in (_EARLY_READINGS, _READINGS)
        )
        if not (is_early or is_usual) or self.probe is None:
            return False
        limit = _LEARNED if is_usual else _WELL_LEARNED
        return self._opened_at is not None or self.probe(None) < limit * self.probe.chance()

    def _strength(self, epoch: int) -> float:
        if self._opened_at is None:
            return 0.0
        ramp = min(max((epoch - self._opened_at) / (_RAMP * self.epochs), 0.0), 1.0)
        return self._factor * ramp

    def _num_modules(self) -> int:
        """How many modules to look for."""
        regularizer, probe = self.regularizer, self._probe_or_raise()
        if not regularizer.is_auto:
            return regularizer.num_modules
        return choose_num_modules(
            regularizer.units.replaced(capacities=None),
            probe,
            present=regularizer.num_modules if self._has_good_modules() else None,
            tolerance=self.tolerance,
            seed=self.seed,
        )

    def _probe_or_raise(self) -> PartitionProbe:
        if self.probe is None:
            raise ValueError(
                "Expected a schedule with a probe, to judge modules (got one without). Give it one:"
                " PartitionSchedule(regularizer, epochs, probe=pyg_modules.train.Probe(model,"
                " data))."
            )
        return self.probe

    def _read(self, num_modules: int, num_random: int = 1) -> Verdict:
        """The best of several partitions of the weights as they are, by the probe."""
        probe = self._probe_or_raise()
        known = [] if self._verdict is None else [self._verdict.labels]
        if self._opened_at is not None:
            known.append(self._repaired(known[0]))
        regularizer = self.regularizer
        is_auto = regularizer.is_auto
        return read_modules(
            regularizer.units.replaced(capacities=None) if is_auto else regularizer.units,
            num_modules,
            probe,
            any_sizes=is_auto,
            known=[labels for labels in known if int(labels.max()) + 1 == num_modules],
            tolerance=self.tolerance,
            num_random=num_random,
            seed=self.seed,
        )

    def _has_good_modules(self) -> bool:
        """Whether the terms hold modules in place that were good when they were read."""
        before = self._verdict
        return self._opened_at is not None and before is not None and before.lost < GOOD

    def _kept(self, num_modules: int) -> Verdict | None:
        """The verdict of the present modules, if they are as many, were good and still are."""
        before, probe = self._verdict, self._probe_or_raise()
        if before is None or not self._has_good_modules():
            return None
        labels = before.labels
        if int(labels.max()) + 1 != num_modules:
            return None
        uncut, cut = probe(None), probe(labels, trained=False)
        losses = losses_in(self.regularizer.units, probe, labels)
        units = self.regularizer.units
        now = replace(before, uncut=uncut, cut=cut, **losses._asdict(), **measures(units, labels))
        return now if now.lost < GOOD else None

    def _repaired(self, labels: Tensor) -> Tensor:
        """The modules that the logits say; ``labels`` if a module of these cannot live."""
        try:
            return self.regularizer.labels(tolerance=self.tolerance, seed=self.seed)
        except DeadModulesError:
            return labels

    def _set_labels(self, labels: Tensor) -> None:
        self.regularizer.set_labels(labels, _CONFIDENCE, tolerance=self.tolerance)
        self._reminders.labels_set()

    def _is_check_due(self, epoch: int) -> bool:
        every = max(1, round(_CHECK * self.epochs))
        return self._opened_at is not None and epoch >= self._checked_at + every

    def _adapt(self, epoch: int, uncut: float, cut: float) -> None:
        """Raise the terms while the network still uses what a cut takes away, not too fast for it.

        Once it forgets its task, they are lowered.
        """
        assert self.probe is not None
        self._checked_at, chance = epoch, self.probe.chance()
        if self._strength(epoch) < self._factor:
            return  # They are still rising.
        if uncut >= _FORGETFUL * chance:
            self._factor = max(1.0, self._factor / _FACTOR)
        elif cut - uncut > _COSTLY * (chance - uncut):
            self._factor *= _FACTOR


def _is_learned(verdict: Verdict, before: Verdict | None) -> bool:
    """Whether the network knows its task well enough for its modules to mean something."""
    if verdict.lost < GOOD and verdict.unlearned < _LEARNED:
        return True
    falls = before is None or verdict.unlearned < _FALLING * before.unlearned
    return verdict.unlearned < (_WELL_LEARNED if falls else _NEARLY_LEARNED)
