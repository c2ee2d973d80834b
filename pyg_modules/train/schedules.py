from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from reprlib import repr as shortened
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules._brief import brief
from pyg_modules._checks import check_choice
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.judge import PartitionProbe
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.structure.growing import GradientProbe
from pyg_modules.structure.sparse_schedule import SparseSchedule
from pyg_modules.train.epoch_record import PHASES
from pyg_modules.train.training_schedule import Schedule, check_regularized


class Schedules:
    """The schedules of a training, as one.

    Args:
        schedule (Schedule or sequence, optional): They.
        model (torch.nn.Module): What is trained.
        epochs (int): For how many epochs.

    Raises:
        TypeError: If one is no schedule.
        ValueError: If one is made for another number of epochs, or for a layer outside of
            ``model``; or if two are the same or train the same.
    """

    def __init__(
        self, schedule: Schedule | Sequence[Schedule] | None, model: nn.Module, epochs: int
    ) -> None:
        if schedule is None:
            schedule = []
        self._all = list(schedule) if isinstance(schedule, Sequence) else [schedule]
        for one in self._all:
            _check_schedule(one, model, epochs)
        #: What is trained beside the model.
        self.parameters = [parameter for one in self._all for parameter in one.parameters()]
        for parts in (self._all, self.parameters):
            if len(set(map(id, parts))) < len(parts):
                raise ValueError(
                    f"Expected every schedule once, and every parameter in one of them (got a"
                    f" {type(parts[0]).__name__} twice). Give each a part of its own."
                )
        #: Whether one says when the training ends.
        self.have_last_epoch = any(getattr(one, "epochs", None) is not None for one in self._all)

    def lend_probes(self, probe_of: Callable[[UnitLayer], PartitionProbe]) -> None:
        """Lend every schedule that judges modules a probe of its layer, unless it has its own."""
        for one in self._all:
            if isinstance(one, PartitionSchedule) and one.needs_probe:
                layer = one.regularizer.layer
                if isinstance(layer, UnitLayer):
                    one.lend(probe_of(layer))

    @contextmanager
    def optimized_by(
        self, optimizer: Optimizer, gradient_of: Callable[[UnitLayer], GradientProbe]
    ) -> Iterator[None]:
        """Let schedules of edges have the optimizer inside, and gradients if they have none.

        Nobody holds on to them afterwards.
        """
        of_edges = [one for one in self._all if isinstance(one, SparseSchedule)]
        own = [one.gradient for one in of_edges]
        for one in of_edges:
            one.optimizer = optimizer
            if one.gradient is None:
                one.gradient = gradient_of(one.layer)
        try:
            yield
        finally:
            for one, gradient in zip(of_edges, own, strict=True):
                one.optimizer, one.gradient = None, gradient

    def step(self, epoch: int) -> str:
        """Begin an epoch.

        Returns:
            str: What the first schedule that has phases says, else ``"free"``.

        Raises:
            ValueError: If it says something else than a phase.
        """
        for one in self._all:
            one.step(epoch)
        phases = [one.phase(epoch) for one in self._all if hasattr(one, "phase")]
        for phase in phases:
            check_choice("phase(epoch)", phase, PHASES)
        return phases[0] if phases else "free"

    def penalties(self) -> list[dict[str, tuple[float, Tensor]]]:
        """What every schedule adds to the loss of a batch."""
        return [_checked_penalties(one.penalties()) for one in self._all]


def _check_schedule(schedule: Any, model: nn.Module, epochs: int) -> None:
    if isinstance(schedule, PartitionRegularizer):
        raise TypeError(
            "Expected a schedule (got a PartitionRegularizer). Make one of it:"
            f" schedule=PartitionSchedule(regularizer, epochs={epochs})."
        )
    is_schedule = isinstance(schedule, Schedule) and not isinstance(schedule, type)
    if not is_schedule or not callable(getattr(schedule, "phase", schedule.step)):
        raise TypeError(
            f"Expected a schedule, with step(epoch), penalties() and parameters(), and phase(epoch)"
            f" if it has phases; or a list of them (got {brief(schedule)}). PartitionSchedule("
            f"regularizer, epochs) is one."
            " Give such a one."
        )
    if isinstance(schedule, PartitionSchedule):
        check_regularized(model, schedule.regularizer)
    if isinstance(schedule, SparseSchedule):
        _check_edges(model, schedule)
    own = getattr(schedule, "epochs", None)
    if own is not None and own != epochs:
        raise ValueError(
            f"Expected epochs={own}, those of the schedule (got {epochs})."
            f" Give epochs={own}, or make the schedule with as many."
        )


def _check_edges(model: nn.Module, schedule: SparseSchedule) -> None:
    if schedule.layer not in set(model.modules()):
        raise ValueError(
            "Expected a SparseSchedule of a layer of the model (got one of another layer). Make it"
            " of the layer inside: SparseSchedule(layer, epochs, num_edges=...)."
        )
    if schedule.optimizer is not None:
        raise ValueError(
            f"Expected a SparseSchedule without an optimizer (got one with its"
            f" {type(schedule.optimizer).__name__}). fit makes one; leave optimizer= out."
        )


def _checked_penalties(penalties: Any) -> dict[str, tuple[float, Tensor]]:
    if not isinstance(penalties, dict) or not all(map(_is_penalty, penalties.values())):
        raise TypeError(
            f"Expected penalties() to return a dict from names to (coefficient, scalar tensor) (got"
            f" {shortened(penalties)}). Use e.g. {{'l1': (1e-4, weight.abs().sum())}}."
        )
    if taken := {"task", "validation"}.intersection(penalties):
        raise ValueError(
            f"Expected penalties of names of their own (got {min(taken)!r}, which is the name of a"
            f" loss in the history). Name it otherwise."
        )
    return penalties


def _is_penalty(value: object) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    coefficient, term = value
    is_scalar = isinstance(term, Tensor) and term.numel() == 1
    return is_scalar and isinstance(coefficient, Real | Tensor)
