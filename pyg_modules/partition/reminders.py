"""What users of a schedule forget, said once, when it shows."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from pyg_modules.partition.regularizer import PartitionRegularizer

# A frame of the schedule lies between the warning and its caller.
_STACKLEVEL = 4


class Reminders:
    """Looks whether the terms of a regularizer reach the training.

    Args:
        regularizer (PartitionRegularizer): What is looked at.
    """

    # As they were set, and their gradient one epoch ago.
    _logits: Tensor | None
    _gradient: Tensor | None

    def __init__(self, regularizer: PartitionRegularizer) -> None:
        self._regularizer = regularizer
        self._said: set[str] = set()
        self._logits = self._gradient = None

    def labels_set(self) -> None:
        """Remember the logits as they were set; from now on they are expected to move."""
        self._logits = self._regularizer.logits.detach().clone()
        self._regularizer.was_evaluated = False

    def check(self) -> None:
        """Warn if the terms were on for an epoch and nobody noticed."""
        regularizer = self._regularizer
        if self._logits is None or not any(map(regularizer.coefficient, regularizer.terms)):
            return
        logits = regularizer.logits
        before, self._gradient = self._gradient, logits.grad
        if not regularizer.was_evaluated:
            self._say(
                "The terms of the regularizer are on, but were not evaluated in the last epoch: add"
                " regularizer() to the loss of every batch."
            )
        # An optimizer makes the gradient anew in every step; without one, it is summed up.
        elif (
            torch.equal(logits, self._logits) and logits.grad is not None and logits.grad is before
        ):
            self._say(
                "The logits of the regularizer do not move: give regularizer.parameters() to the"
                " optimizer, without weight decay, beside the parameters of the model; or make the"
                " regularizer with train='weights'."
            )

    def never_stepped(self) -> None:
        """Warn that a schedule was asked for modules that it did nothing for."""
        self._say(
            "The modules are read off weights that were trained without the schedule: no term of"
            " the regularizer was ever on. Call schedule.step(epoch) at the beginning of every"
            " epoch."
        )

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warnings.warn(message, stacklevel=_STACKLEVEL)
