"""Whether a training is as long as a schedule."""

from __future__ import annotations

from math import ceil, isfinite

import lightning as L


def check_max_epochs(trainer: L.Trainer, epochs: int) -> None:
    """Raise a ``ValueError`` if ``trainer`` has fewer ``epochs``, unless it is a trial."""
    max_epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
    is_trial = trainer.fast_dev_run  # type: ignore[attr-defined]
    if -1 < max_epochs < epochs and not is_trial:
        raise ValueError(
            f"Expected max_epochs >= {epochs}, the epochs of the schedule (got {max_epochs})."
            f" Raise max_epochs, or shorten the schedule."
        )


def check_max_steps(trainer: L.Trainer, pl_module: L.LightningModule, epochs: int) -> None:
    """Raise a ``ValueError`` if ``max_steps`` is known to end before so many ``epochs`` do."""
    is_trial = trainer.fast_dev_run  # type: ignore[attr-defined]
    is_known = isfinite(trainer.num_training_batches) and pl_module.automatic_optimization
    if trainer.max_steps < 0 or is_trial or not is_known:
        return
    steps = epochs * ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    if trainer.max_steps < steps:
        raise ValueError(
            f"Expected max_steps >= {steps}, those of the {epochs} epochs of the schedule (got"
            f" {trainer.max_steps}). Raise max_steps, or shorten the schedule."
        )
