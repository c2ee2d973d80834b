from __future__ import annotations

from torch import Tensor, nn

from pyg_modules._checks import as_coefficient, as_int
from pyg_modules.partition.methods import partition_units
from pyg_modules.partition.regularizer import PartitionRegularizer

# At which share of the epochs a phase begins.
_BEGINS = {"free": 0.0, "ramp": 0.25, "full": 0.5}
# The assignment of a unit to its module after a repair.
_CONFIDENCE = 0.99
_NUM_REPAIRS = 18
# By which share sizes may differ when the modules are found; it falls to the tolerance in the ramp.
_FIRST_TOLERANCE = 0.5


class PartitionSchedule:
    r"""Tells a regularizer what to do as the training goes on: learn first, then organise.

    Call :meth:`step` at the beginning of every epoch. The phases, and the share of the epochs at
    which they begin:

    * **free** (0): no term is on, so that the task forms structure. A partition that is forced
      before is arbitrary.
    * **ramp** (1/4): the modules are read off the weights by :func:`partition_units`, and the terms
      of the regularizer are raised to their coefficients.
    * **full** (1/2): all terms are on.

    About every 24th of the epochs from the ramp on, the partition is **repaired**: the assignment
    is rounded, improved by moves that lower the normalized cut of the weights as they are, and set
    again. A unit in a wrong module keeps the weights that the task needs against the penalty, while
    others vanish; so it is found there, and moved.

    Balance does not overrule the cut: sizes may differ by half when the modules are found, and
    by less and less in the ramp, until they differ by ``tolerance``. Units that a module can spare
    leave it first, and those that it needs stay.

    A training of one epoch is all free phase, one of two epochs has no ramp.

    Args:
        regularizer (PartitionRegularizer): Its coefficients are those that are reached. The
            schedule changes its ``strength``, and the logits.
        epochs (int): Number of epochs until the cut.
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.1)
        seed (int, optional): Of the search for modules and of repairs. (default: 0)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph
        >>> from pyg_modules import UnitGraph, cut
        >>> layer = SynchronousGraph(UnitGraph.complete(2, 8, 1))
        >>> regularizer = PartitionRegularizer(layer, num_modules=2)
        >>> schedule = PartitionSchedule(regularizer, epochs=20)
        >>> optimizer = torch.optim.Adam([*layer.parameters(), *regularizer.parameters()])
        >>> for epoch in range(20):
        ...     schedule.step(epoch)
        ...     loss = layer(torch.rand(4, 2)).square().mean() + regularizer()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        >>> modular = cut(layer, schedule.labels())
    """

    def __init__(
        self,
        regularizer: PartitionRegularizer,
        epochs: int,
        *,
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
        self.tolerance = as_coefficient("tolerance", tolerance)
        self.seed = as_int("seed", seed, smallest=0)
        self._repaired_at: int | None = None

    def step(self, epoch: int) -> None:
        """Set the strength for an epoch, and find or repair the modules if it is time.

        Args:
            epoch (int): Number of the epoch that begins, from 0.

        Raises:
            TypeError: If ``epoch`` is not an integer.
            ValueError: If ``epoch`` is negative; or, when modules are found or repaired, if the
                weights or the logits are not finite, or all weights are 0.
        """
        epoch = as_int("epoch", epoch, smallest=0)
        ramp = (epoch / self.epochs - _BEGINS["ramp"]) / (_BEGINS["full"] - _BEGINS["ramp"])
        ramp = min(max(ramp, 0.0), 1.0)
        if self._repaired_at is not None and epoch < self._repaired_at:
            self._repaired_at = None  # Another training begins.
        self.regularizer.strength = ramp
        if self.phase(epoch) != "free" and self._is_due(epoch):
            first = max(self.tolerance, _FIRST_TOLERANCE)
            tolerance = ramp * self.tolerance + (1 - ramp) * first
            self.regularizer.set_labels(self._labels(tolerance), _CONFIDENCE)
            self._repaired_at = epoch

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        """The terms that are on: strength times coefficient, and the loss without them, by name."""
        regularizer = self.regularizer
        return {
            name: (regularizer.strength * getattr(regularizer, name), loss)
            for name, loss in regularizer.losses().items()
        }

    def parameters(self) -> list[nn.Parameter]:
        """What is trained beside the layer: the assignment."""
        return list(self.regularizer.parameters())

    def phase(self, epoch: int) -> str:
        """The phase of an epoch, ``"free"``, ``"ramp"`` or ``"full"``."""
        epoch = as_int("epoch", epoch, smallest=0)
        progress = epoch / self.epochs
        return [phase for phase, begin in _BEGINS.items() if progress >= begin][-1]

    def labels(self) -> Tensor:
        """The modules as they are now, ``[N]``, −1 for units that are not partitioned.

        Sizes are within the tolerance; read off the weights in the free phase, from the assignment
        after it.
        """
        return self._labels(self.tolerance)

    def state_dict(self) -> dict[str, int | None]:
        """What has to be kept, beside the regularizer's ``state_dict``, to go on in an epoch."""
        return {"repaired_at": self._repaired_at}

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self._repaired_at = state["repaired_at"]

    def _labels(self, tolerance: float) -> Tensor:
        regularizer = self.regularizer
        if self._repaired_at is not None:
            return regularizer.labels(tolerance=tolerance, seed=self.seed)
        return partition_units(
            regularizer.layer,
            regularizer.num_modules,
            scope=regularizer.scope,
            affinity=regularizer.affinity,
            capacities=regularizer.capacities,
            tolerance=tolerance,
            seed=self.seed,
        )

    def _is_due(self, epoch: int) -> bool:
        num_epochs = self.epochs * (1 - _BEGINS["ramp"])
        every = max(1, round(num_epochs / _NUM_REPAIRS))
        return self._repaired_at is None or epoch >= self._repaired_at + every
