from __future__ import annotations

from typing import NamedTuple

#: What a phase may be.
PHASES = ("free", "ramp", "full", "cut")


class EpochRecord(NamedTuple):
    """What one epoch of a training came to; the history of a training is a list of these.

    Args:
        phase (str): ``"free"``, as long as no term of a :class:`PartitionSchedule` is on, which may
            be the whole training; ``"ramp"``, while the terms rise; ``"full"``; or ``"cut"`` after
            the cut.
        losses (dict): Means over its batches: ``"task"``, and the terms of the schedule that were
            on, such as ``"ncut"``; and ``"validation"``, that of the validation data after it.
    """

    phase: str
    losses: dict[str, float]
